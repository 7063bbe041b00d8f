"""DeepSORT from its paper, slow and obviously right: one object per track, Python loops, filterpy filters.

Tests compare the array version with it number by number. It knows no batches, no candidate pairs and no ring arrays.
"""

import numpy as np
from filterpy.kalman import KalmanFilter
from scipy.optimize import linear_sum_assignment

GATE = 9.4877


def overlap(a, b):
    """Intersection over union of two corner boxes."""
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)


def measure(box):
    w, h = box[2] - box[0], box[3] - box[1]
    return np.array([box[0] + w / 2, box[1] + h / 2, w / h, h])


def kalman(z):
    """A filterpy filter of one box that starts at the measurement z."""
    f = KalmanFilter(dim_x=8, dim_z=4)
    f.F = np.eye(8) + np.eye(8, k=4)
    f.H = np.eye(4, 8)
    f.x = np.concatenate([z, np.zeros(4)])
    h = z[3]
    f.P = np.diag([2 * h / 20, 2 * h / 20, 1e-2, 2 * h / 20, 10 * h / 160, 10 * h / 160, 1e-5, 10 * h / 160]) ** 2
    return f


def process_noise(h):
    return np.diag([h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]) ** 2


def measurement_noise(h):
    return np.diag([h / 20, h / 20, 1e-1, h / 20]) ** 2


class Track:
    def __init__(self, number, box, feature, n_init, index):
        self.id, self.filter, self.hits, self.missed = number, kalman(measure(box)), 1, 0
        self.features, self.confirmed, self.dead, self.index = [], n_init <= 1, False, index
        self.remember(feature)

    def remember(self, feature):
        if feature is not None:
            self.features.append(feature)

    def predict(self):
        self.filter.Q = process_noise(self.filter.x[3])
        self.filter.predict()
        self.missed += 1
        self.index = -1

    def squared_distance(self, z):
        s = self.filter.H @ self.filter.P @ self.filter.H.T + measurement_noise(self.filter.x[3])
        y = z - self.filter.H @ self.filter.x
        return y @ np.linalg.inv(s) @ y

    def take(self, box, feature, n_init, index):
        self.filter.update(measure(box), R=measurement_noise(self.filter.x[3]))
        self.remember(feature)
        self.hits += 1
        self.missed = 0
        self.confirmed = self.confirmed or self.hits >= n_init
        self.index = index

    def box(self):
        x, y, a, h = self.filter.x[:4]
        return np.array([x - a * h / 2, y - h / 2, x + a * h / 2, y + h / 2])


class Oracle:
    def __init__(self, max_age=30, n_init=3, max_cosine_distance=0.2, max_iou_distance=0.7, budget=100):
        self.max_age, self.n_init, self.budget = max_age, n_init, budget
        self.cosine, self.iou = max_cosine_distance, max_iou_distance
        self.tracks, self.next_id = [], 1

    def update(self, boxes, features=None):
        boxes = [np.asarray(b, float) for b in boxes]
        looks = [None] * len(boxes)
        if features is not None:
            looks = [f / np.linalg.norm(f) for f in np.asarray(features, float)]
        for track in self.tracks:
            track.predict()
        left = list(range(len(boxes)))
        matches = []
        confirmed = [t for t in range(len(self.tracks)) if self.tracks[t].confirmed]
        if features is not None and len(boxes):
            for age in range(1, self.max_age + 1):
                level = [t for t in confirmed if self.tracks[t].missed == age]
                found, left = self.assign(level, left, self.cosine, lambda t, d: self.looks_cost(t, boxes[d], looks[d]))
                matches += found
        lost = [t for t in set(confirmed) - {t for t, _ in matches} if self.tracks[t].missed == 1]
        rows = [t for t in range(len(self.tracks)) if not self.tracks[t].confirmed] + lost
        found, left = self.assign(rows, left, self.iou, lambda t, d: 1 - overlap(self.tracks[t].box(), boxes[d]))
        matches += found
        for t, d in matches:
            self.tracks[t].take(boxes[d], looks[d], self.n_init, d)
        for track in self.tracks:
            if track.missed and (not track.confirmed or track.missed > self.max_age):
                track.dead = True
        self.tracks = [t for t in self.tracks if not t.dead]
        for d in left:
            self.tracks.append(Track(self.next_id, boxes[d], looks[d], self.n_init, d))
            self.next_id += 1
        return self.tracks

    def looks_cost(self, t, box, look):
        if look is None or not self.tracks[t].features or self.tracks[t].squared_distance(measure(box)) > GATE:
            return np.inf
        return min(1 - f @ look for f in self.tracks[t].features[-self.budget :])

    @staticmethod
    def assign(rows, columns, threshold, cost):
        if not rows or not columns:
            return [], columns
        matrix = np.array([[cost(t, d) for d in columns] for t in rows])
        matrix[matrix > threshold] = threshold + 1e-5
        given = list(zip(*linear_sum_assignment(matrix), strict=True))
        taken = {c for _, c in given}
        left = [d for c, d in enumerate(columns) if c not in taken]
        left += [columns[c] for r, c in given if matrix[r, c] > threshold]
        return [(rows[r], columns[c]) for r, c in given if matrix[r, c] <= threshold], left
