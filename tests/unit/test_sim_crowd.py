"""Simulated crowds: deterministic, heads labelled where they can be seen, files that others can read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from perception.errors import PerceptionError
from perception.geometry.camera import Camera
from perception.sim.crowd import render_crowd_sample
from perception.sim.crowd.backdrop import random_backdrop
from perception.sim.crowd.body import casters, pool
from perception.sim.crowd.layout import Site
from perception.sim.crowd.people import PLAIN, dress, members
from perception.sim.crowd.render import CrowdRenderer, CrowdScene
from perception.sim.crowd.sample import labelled
from perception.sim.crowd.shade import Pavement
from perception.sim.world.mesh import box, merge
from perception.sim.world.scene import Light
from perception.sim.writers.shanghaitech import write_crowds

POSE = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1.0]])
"""A camera 1.6 m above the origin that looks along x."""


def site() -> Site:
    intrinsics = np.array([[200.0, 0, 127.5], [0, 200.0, 95.5], [0, 0, 1]])
    return Site(Camera("crowd", 256, 192, intrinsics, ego_from_camera=POSE), 2.0, 20.0)


def scene(places: list, wall: bool = False) -> CrowdScene:
    people = dress(
        np.random.default_rng(0),
        np.array(places, float).reshape(-1, 3),
        np.zeros(len(places)),
        np.zeros(len(places), bool),
    )
    people.member[:] = members(False)[1]
    people.scale[:] = 1.0
    people.pattern[:] = PLAIN
    things = [box((2.0, -0.2, 0), (2.1, 3.0, 3.0), (0.5, 0.5, 0.5))] if wall else []
    return CrowdScene(site(), people, merge(things), Pavement(), Light())


def test_a_person_alone_shows_the_whole_head_where_it_is():
    view = scene([[4.0, 0.0, 0.0]])
    image, seen = CrowdRenderer(view).render()
    assert 0.6 < seen.share[0] < 1.1
    x, y = view.site.project(view.people.head_centers())[0]
    assert abs(x - 127.5) < 2 and abs(y - 95.5) < 4  # eye level, straight ahead
    np.testing.assert_allclose(seen.middle[0], [x, y], atol=1)
    np.testing.assert_array_equal(labelled(view, seen), seen.middle.astype(np.float32))
    assert np.isfinite(image).all() and image.shape == (192, 256, 3)
    assert np.abs(image[round(y), round(x)] - image[round(y), 20]).max() > 0.02


def test_a_head_behind_another_or_a_wall_is_not_seen():
    seen = CrowdRenderer(scene([[4.0, 0.0, 0.0], [6.0, 0.0, 0.0]])).seen_heads()
    assert seen.share[0] > 0.6 and seen.share[1] < 0.1
    view = scene([[4.0, 0.3, 0.0], [4.0, -1.0, 0.0]], wall=True)
    seen = CrowdRenderer(view).seen_heads()
    assert seen.share[0] == 0 and np.isnan(seen.middle[0]).all() and seen.share[1] > 0.6
    assert len(labelled(view, seen)) == 1


def test_a_head_that_is_half_hidden_is_labelled_where_it_shows():
    alone, view = scene([[4.0, -0.4, 0.0]]), scene([[4.0, -0.4, 0.0]], wall=True)  # the wall ends in front of it
    whole, seen = (CrowdRenderer(each).seen_heads() for each in (alone, view))
    assert 0.3 < seen.share[0] / whole.share[0] < 0.7
    edge = view.site.project(np.array([[2.1, -0.2, 1.6]]))[0, 0]
    assert seen.middle[0, 0] - 1 > edge > whole.middle[0, 0] - 1
    np.testing.assert_array_equal(labelled(view, seen), seen.middle.astype(np.float32))


def test_hair_on_the_back_does_not_make_a_hidden_head_visible():
    people = scene([[4.0, 0.0, 0.0]])
    for member in members(False):
        people.people.member[:] = member
        board = merge([box((2.0, -0.5, 1.53), (2.05, 0.5, 2.2), (0.5, 0.5, 0.5))])  # hides what is above 1.47 m
        renderer = CrowdRenderer(replace(people, backdrop=board))
        if np.isin(renderer.head[renderer._centers().triangle], 0).sum() > 50:
            break
    else:
        raise AssertionError("nobody has long hair")
    seen = renderer.seen_heads()
    assert seen.share[0] < 0.1
    assert len(labelled(renderer.scene, seen)) == 0


def test_both_resolutions_show_the_same_people():
    fine, coarse = pool(True), pool(False)
    assert len(fine.first_vertex) == len(coarse.first_vertex)
    np.testing.assert_allclose(fine.head_center, coarse.head_center, atol=0.03)
    assert (np.abs(np.linalg.norm(fine.normals, axis=1) - 1) < 1e-3).all()


def test_what_casts_shadows_lies_within_the_people():
    coarse, thin = pool(False), casters()
    assert len(thin.triangles) < 0.7 * len(coarse.triangles)
    for m in range(len(coarse.first_vertex) - 1):
        whole = coarse.vertices[coarse.first_vertex[m] : coarse.first_vertex[m + 1]]
        part = thin.vertices[thin.first_vertex[m] : thin.first_vertex[m + 1]]
        assert (part.min(0) >= whole.min(0)).all() and (part.max(0) <= whole.max(0)).all()
        assert part[:, 2].max() > whole[:, 2].max() - 0.35 and part[:, 2].min() < whole[:, 2].min() + 0.05


def test_people_throw_shadows_on_the_ground():
    def ground(places: list) -> np.ndarray:
        view = scene(places)
        sun = np.array([0.0, 0.6, 0.8])  # from the left, so shadows fall to the right
        return CrowdRenderer(replace(view, light=view.light._replace(sun_dir=tuple(sun)))).render()[0].mean(2)

    alone, bare = ground([[4.0, 0.0, 0.0]]), ground([])
    shade = alone[175] / bare[175]  # 4 m ahead; the feet are at column 127, the shadow of the head ends at 187
    assert shade[145:175].mean() < 0.6 and min(shade[60:110].mean(), shade[195:].mean()) > 0.9


def test_samples_are_deterministic_and_empty_ones_have_nobody():
    first, second = (render_crowd_sample(900_001, (160, 120), 30) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.points, second.points)
    assert first.image.shape == (120, 160, 3) and first.image.std() > 5
    assert 0 < len(first.points) <= 30
    assert (first.points > -0.5).all() and (first.points < [159.5, 119.5]).all()
    assert len(render_crowd_sample(900_002, (160, 120), 0).points) == 0
    with pytest.raises(PerceptionError, match="seed"):
        render_crowd_sample(-1)


def test_things_fit_between_people_who_are_all_far_away():
    crowd = replace(site(), near=20.0, far=24.0)  # nearest things from 1.6 times near on: 32 m, furthest at 26 m
    for seed in range(40):
        backdrop, blocked = random_backdrop(np.random.default_rng(seed), crowd)
        assert np.isfinite(backdrop.vertices).all() and np.isfinite(blocked).all()


def test_files_do_not_depend_on_interruptions(tmp_path: Path):
    def hashes(root: Path) -> dict[str, str]:
        return {p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*.*")}

    list(write_crowds(tmp_path / "a", 2, 900_010, (96, 72)))
    paths = list(write_crowds(tmp_path / "b", 1, 900_010, (96, 72)))
    list(write_crowds(tmp_path / "b", 2, 900_010, (96, 72)))
    images = {name: h for name, h in hashes(tmp_path / "a").items() if not name.endswith(".mat")}
    assert {name: h for name, h in hashes(tmp_path / "b").items() if not name.endswith(".mat")} == images
    truth = paths[0].parent.parent / "ground_truth"
    location, number = scipy.io.loadmat(truth / "GT_IMG_1.mat")["image_info"][0, 0][0, 0]
    record = json.loads((truth / "IMG_1.json").read_text())
    assert number[0, 0] == len(location) == len(record["points"])
    np.testing.assert_allclose(location, np.reshape(record["points"], (-1, 2)), atol=0.01)
    assert cv2.imread(str(paths[0])).shape == (72, 96, 3)
