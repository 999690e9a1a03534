"""One module a group of benchmarks; every module here is imported by ``perception bench``."""
