"""Box arithmetic on arrays of corners; every function takes N = 0."""

import numpy as np

_TINY = 1e-300
"""Below any area: what is empty has no overlap, and nothing is divided by zero."""


def xyxy_to_xyah(xyxy: np.ndarray) -> np.ndarray:
    """Corners (N,4) to centre x, centre y, aspect w/h, height (N,4) float64, pixels.

    Heights must be positive: `Detections` has refused others.
    """
    xyxy = np.asarray(xyxy, np.float64).reshape(-1, 4)
    xyah = np.empty_like(xyxy)
    size = xyxy[:, 2:] - xyxy[:, :2]
    xyah[:, :2] = xyxy[:, :2] + size / 2
    xyah[:, 2] = size[:, 0] / size[:, 1]
    xyah[:, 3] = size[:, 1]
    return xyah


def xyah_to_xyxy(xyah: np.ndarray) -> np.ndarray:
    """Centre, aspect, height (N,4) to corners (N,4) float64, pixels."""
    xyah = np.asarray(xyah, np.float64).reshape(-1, 4)
    half = xyah[:, 2:] / 2
    half[:, 0] *= xyah[:, 3]
    xyxy = np.empty_like(xyah)
    xyxy[:, :2] = xyah[:, :2] - half
    xyxy[:, 2:] = xyah[:, :2] + half
    return xyxy


def xyxy_to_tlwh(xyxy: np.ndarray) -> np.ndarray:
    """Corners (N,4) to left, top, width, height (N,4), pixels."""
    xyxy = np.asarray(xyxy).reshape(-1, 4)
    return np.hstack([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]])


def tlwh_to_xyxy(tlwh: np.ndarray) -> np.ndarray:
    """Left, top, width, height (N,4) to corners (N,4), pixels."""
    tlwh = np.asarray(tlwh).reshape(-1, 4)
    return np.hstack([tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]])


def area(xyxy: np.ndarray) -> np.ndarray:
    """Areas (N,) of corners (N,4), square pixels."""
    xyxy = np.asarray(xyxy)
    sides = xyxy[:, 2:] - xyxy[:, :2]
    np.maximum(sides, 0, out=sides)
    areas: np.ndarray = sides[:, 0] * sides[:, 1]
    return areas


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection areas (N,M) of corners (N,4) and (M,4), square pixels."""
    a, b = np.asarray(a).reshape(-1, 4), np.asarray(b).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    areas: np.ndarray = np.prod(np.maximum(high - low, 0), axis=2)
    return areas


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (N,M) of corners (N,4) and (M,4)."""
    inter = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - inter
    share: np.ndarray = np.divide(inter, union, out=np.zeros_like(inter, dtype=np.float64), where=union > 0)
    return share


def clip(xyxy: np.ndarray, width: int, height: int) -> np.ndarray:
    """Corners (N,4) cut to a frame of width x height pixels; a box outside becomes empty, not negative."""
    xyxy = np.asarray(xyxy).reshape(-1, 4)
    limit = np.array([width, height, width, height], xyxy.dtype)
    cut: np.ndarray = np.clip(xyxy, 0, limit)
    return cut


def take(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows (P,) of an array (N,W), columns together in memory: arithmetic on columns is faster so."""
    return array.T.take(rows, axis=-1).T


def intersection_of_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection areas (P,) of corners (P,4) and (P,4), row by row, square pixels."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    np.maximum(sides, 0, out=sides)
    areas: np.ndarray = sides[:, 0] * sides[:, 1]
    return areas


def iou_of_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (P,) of corners (P,4) and (P,4), row by row; 0 where either is empty."""
    inter = intersection_of_pairs(a, b)
    share: np.ndarray = inter / np.maximum(area(a) + area(b) - inter, _TINY)
    return share


def vertical_iou_of_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (P,) of the vertical extents of corners (P,4) and (P,4), row by row; 0 where apart."""
    inter = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    union = np.maximum(a[:, 3], b[:, 3]) - np.minimum(a[:, 1], b[:, 1])
    share: np.ndarray = np.maximum(inter, 0) / np.maximum(union, _TINY)
    return share


def grow(xyxy: np.ndarray, share: float) -> np.ndarray:
    """Corners (N,4) with each side moved outwards by `share` of the box's width or height."""
    margin = share * (xyxy[:, 2:] - xyxy[:, :2])
    grown = xyxy.copy(order="K")
    grown[:, :2] -= margin
    grown[:, 2:] += margin
    return grown
