"""Several drives in worker processes: who gets what, who dies, and folders."""

from __future__ import annotations

from pathlib import Path

from perception.runtime.drives import DriveJob, output_folders, run_jobs_in_processes
from tests.fixtures.toy_jobs import body


def jobs(*names):
    return [DriveJob(name, Path("out") / name, "toy.py", None) for name in names]


def test_a_dead_process_costs_its_drive_only_and_workers_are_used_again():
    lines: list[tuple[str, int]] = []
    say = lambda job, line: lines.append((job.drive, int(line.rsplit(" ", 1)[1])))  # noqa: E731
    names = ("a", "die", "b", "bad", "exit", "c", "d")
    ended = {outcome.job.drive: outcome for outcome in run_jobs_in_processes(jobs(*names), 2, say, body)}
    assert {name: ended[name].code for name in names} == {
        **dict.fromkeys(("a", "b", "c", "d"), 0),
        **dict.fromkeys(("die", "bad", "exit"), 2),
    }
    assert "ended by SIGKILL" in ended["die"].message and "the same command continues it" in ended["die"].message
    assert "ended with code 7" in ended["exit"].message and ended["bad"].message == "cannot be read"
    assert sorted(name for name, _ in lines) == sorted(names)
    assert 2 <= len({process for _, process in lines}) <= 4  # two at a time, and one more for each that died


def test_leaving_early_ends_the_processes():
    outcomes = run_jobs_in_processes(jobs("a", "b"), 1, lambda job, line: None, body)
    assert next(outcomes).job.drive == "a"
    outcomes.close()
    assert list(outcomes) == []


def test_folders_are_named_after_drives_and_never_shared():
    out = Path("out")
    assert output_folders(["x/a.mcap"], out) == [out]
    names = [folder.name for folder in output_folders(["a/x.mp4", "b/x.mp4", "c d.bag", "..", "s3://b/x.mcap"], out)]
    assert names == ["x", "x_2", "c_d", "drive", "x_3"] and len(set(names)) == 5
