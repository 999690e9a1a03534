"""Damaged files for every reader: seeded mutations, read in processes with limits on time and memory."""

from __future__ import annotations

from perception.fuzz.mutate import mutate
from perception.fuzz.pool import Failure, Outcome, Reader, fuzz

__all__ = ["Failure", "Outcome", "Reader", "fuzz", "mutate"]
