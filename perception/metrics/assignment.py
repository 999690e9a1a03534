"""The assignment step of the official CULane evaluator (spec ganet section 7.1)."""

from __future__ import annotations

import numpy as np

TOLERANCE = 1e-2
"""Two potentials count as equal when they differ by less; so among near-ties a slightly worse pair may win."""


def kuhn_munkres(similarity: np.ndarray) -> np.ndarray:
    """Assign rows to columns for a large total similarity, with the evaluator's tolerance and order of search.

    Args:
        similarity: (R, C) finite float weights, 0 or more.

    Returns:
        (R,) int64 column of each row, -1 for rows left over when there are more rows than columns.

    Raises:
        ValueError: A weight is not finite (the search would not end).
    """
    weights = np.asarray(similarity, np.float64)
    if not np.isfinite(weights).all():
        raise ValueError("kuhn_munkres: expected finite weights, found NaN or infinity")
    if weights.size == 0:
        return np.full(len(weights), -1, np.int64)
    swapped = weights.shape[0] > weights.shape[1]
    matching = _Matching((weights.T if swapped else weights).tolist())
    for node in range(len(matching.weights)):
        while not matching.augment(node):
            matching.relax()
    result = np.full(len(weights), -1, np.int64)
    for column, row in enumerate(matching.partner):
        if row >= 0:
            pair = (column, row) if swapped else (row, column)
            result[pair[0]] = pair[1]
    return result


class _Matching:
    """State of the search: potentials of both sides, who is matched and who was visited; left is the smaller side."""

    def __init__(self, weights: list[list[float]]) -> None:
        self.weights = weights
        self.left = [max(-1e5, *row) for row in weights]
        self.right = [0.0] * len(weights[0])
        self.partner = [-1] * len(weights[0])
        self.seen_left: set[int] = set()
        self.seen_right: set[int] = set()

    def augment(self, node: int) -> bool:
        """Start a search at a left node; True when it found a free partner along tight edges."""
        self.seen_left.clear()
        self.seen_right.clear()
        return self._search(node)

    def _search(self, node: int) -> bool:
        self.seen_left.add(node)
        for column, weight in enumerate(self.weights[node]):
            if column in self.seen_right or abs(self.left[node] + self.right[column] - weight) >= TOLERANCE:
                continue
            self.seen_right.add(column)
            if self.partner[column] < 0 or self._search(self.partner[column]):
                self.partner[column] = node
                return True
        return False

    def relax(self) -> None:
        """Shift the potentials of what the failed search visited until another edge becomes tight."""
        unseen = [column for column in range(len(self.right)) if column not in self.seen_right]
        step = min(
            self.left[node] + self.right[column] - self.weights[node][column]
            for node in self.seen_left
            for column in unseen
        )
        for node in self.seen_left:
            self.left[node] -= step
        for column in self.seen_right:
            self.right[column] += step
