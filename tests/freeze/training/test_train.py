"""Training on tiny data: bit-equal resumption, bad data, and the pieces it is made of."""

import io
import tarfile

import cv2
import numpy as np
import pytest

from freeze.training import augment
from freeze.training.batches import Batches
from freeze.training.config import TrainConfig
from freeze.training.data import Source, load, read_manifest
from freeze.training.errors import TrainDataError, TrainError, TrainStateError
from freeze.training.files import load_state, read_weights, save_state

SIZE = (128, 64)


def person(rng, hue):
    """A crop whose colours tell who it is."""
    crop = rng.integers(0, 60, (64, 32, 3)).astype(np.uint8)
    crop[10:35, 8:24] = hue
    crop[35:60, 10:22] = hue[::-1]
    return crop


def write_folders(root, identities=6, crops=4, seed=0):
    rng = np.random.default_rng(seed)
    for i in range(identities):
        folder = root / f"{i:03}"
        folder.mkdir(parents=True)
        hue = rng.integers(60, 255, 3)
        for k in range(crops):
            cv2.imwrite(str(folder / f"{i:04}_c{k % 2}s1_{k}.png"), person(rng, hue))
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_folders(tmp_path_factory.mktemp("data") / "people")


def config(folders, out, **more):
    return TrainConfig(
        **(
            {
                "data": folders,
                "out": out,
                "steps": 4,
                "identities": 3,
                "per_identity": 2,
                "warm_up": 1,
                "validate_every": 2,
                "save_every": 1,
                "seed": 3,
            }
            | more
        )
    )


def run(configuration, stop=None):
    """Trains; with `stop`, is interrupted after that many steps."""
    from freeze.training.loop import Training

    def report(done, steps, values):
        if done == stop:
            raise KeyboardInterrupt

    training = Training(configuration)
    if stop is None:
        training.run(report)
    else:
        with pytest.raises(KeyboardInterrupt):
            training.run(report)
    return training


@pytest.fixture
def eager():
    """Step by step, so that three trainings need not be traced."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def test_an_interrupted_training_ends_with_the_same_weights(folders, tmp_path, eager):
    from freeze.training.model import variable_shapes

    short = {"steps": 2, "validate_every": 1}
    whole = run(config(folders, tmp_path / "whole", **short))
    run(config(folders, tmp_path / "parts", **short), stop=1)
    parts = run(config(folders, tmp_path / "parts", **short))
    for name, variable in whole.model.state().items():
        np.testing.assert_array_equal(variable.numpy(), parts.model.state()[name].numpy(), err_msg=name)
    a, b = (read_weights(tmp_path / n, variable_shapes()) for n in ("whole", "parts"))
    for name, value in a.items():
        np.testing.assert_array_equal(value, b[name], err_msg=name)
    assert whole.history == parts.history and len(whole.history) == 2
    with pytest.raises(TrainStateError, match=r"other settings \(rate"):
        run(config(folders, tmp_path / "parts", rate=0.5, **short))


def test_training_lowers_the_loss_and_publishes_a_checkpoint_that_builds(folders, tmp_path):
    import tensorflow as tf

    from freeze.networks import striped
    from freeze.training.loop import Training

    losses = []
    training = Training(config(folders, tmp_path / "c", steps=24, validate_every=24, save_every=24, rate=2e-3))
    training.run(lambda done, steps, values: losses.append(values["total"]))
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    graph = tf.Graph()
    with graph.as_default():
        images = tf.compat.v1.placeholder(tf.uint8, [None, *striped.INPUT_SHAPE])
        features = striped.build(images)
        saver = tf.compat.v1.train.Saver()
        with tf.compat.v1.Session() as session:
            saver.restore(session, str(tmp_path / "c"))
            crops = training.crops.images[:5]
            frozen = session.run(features, {images: crops})
    np.testing.assert_allclose(frozen, training.model.embed(crops), atol=2e-5)
    np.testing.assert_allclose(np.linalg.norm(frozen, axis=1), 1, atol=1e-5)


def test_starting_from_another_network_is_refused(folders, tmp_path):
    import tensorflow as tf

    other = str(tmp_path / "other")
    tf.raw_ops.SaveV2(prefix=other, tensor_names=["stem/weights"], shape_and_slices=[""], tensors=[tf.zeros((3, 3))])
    with pytest.raises(TrainStateError, match=r"another network: .* missing"):
        run(config(folders, tmp_path / "x", start=tmp_path / "other"))
    with pytest.raises(TrainStateError, match="no checkpoint"):
        run(config(folders, tmp_path / "x", start=tmp_path / "none"))
    with pytest.raises(TrainError, match="cannot be trained"):
        run(config(folders, tmp_path / "x", network="wrn"))


def test_bad_entries_are_skipped_and_listed(tmp_path):
    root = write_folders(tmp_path / "d", identities=3)
    (root / "000" / "broken.jpg").write_bytes(b"no image")
    (root / "000" / "empty.png").write_bytes(b"")
    (root / "notes.txt").write_text("not a folder")
    (root / "lonely").mkdir()
    cv2.imwrite(str(root / "lonely" / "a.png"), np.zeros((8, 4, 3), np.uint8))
    (root / "nobody").mkdir()
    crops = load([Source("folders", root)], SIZE, 0)
    assert len(crops) == 12 and len(crops.held_out) == 3
    assert [s.split(":")[0] for s in crops.skipped] == ["000/broken.jpg", "000/empty.png", "d/lonely"]


@pytest.mark.parametrize("identities", [0, 1])
def test_too_few_identities_are_refused(tmp_path, identities):
    root = tmp_path / "d"
    root.mkdir()
    write_folders(root, identities=identities)
    with pytest.raises(TrainDataError, match=f"{identities} identities .* at least 2"):
        load([Source("folders", root)], SIZE, 0)


@pytest.mark.parametrize("text, message", [
    ("[[source]]\nkind = 'folders'\npath = 'gone'", "not there"),
    ("[[source]]\nkind = 'video'\npath = '.'", "known: folders"),
    ("[[source]]\nkind = 'folders'\npath = '.'\ncolour = 1", "not a manifest"),
    ("[[source]]\nkind = 'folders'\npath = '.'\nshare = 0.0", "share above 0"),
    ("source = 1 2", "not a manifest"),
])  # fmt: skip
def test_a_manifest_that_is_none(tmp_path, text, message):
    (tmp_path / "manifest.toml").write_text(text)
    with pytest.raises(TrainDataError, match=message):
        read_manifest(tmp_path)


def test_names_in_an_archive(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "m.tar"
    with tarfile.open(path, "w") as archive:
        for name in (
            "0002_c1s1_000451_03.jpg",
            "0002_c2s1_1.jpg",
            "0007_c3s1_1.jpg",
            "0007_c1s2_1.jpg",
            "-1_c1s1_junk.jpg",
            "0000_c1s1_distractor.jpg",
            "readme.jpg",
        ):
            data = cv2.imencode(".jpg", person(rng, (9, 99, 200)))[1].tobytes()
            info = tarfile.TarInfo(f"folder/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    crops = load([Source("names", path)], SIZE, 0)
    assert crops.identity.tolist() == [0, 0, 1, 1] and crops.camera.tolist() == [1, 2, 1, 3]
    (tmp_path / "n.tar").write_bytes(b"no archive")
    with pytest.raises(TrainDataError, match="archive"):
        load([Source("names", tmp_path / "n.tar")], SIZE, 0)


def test_tracklets_and_sequences_together(tmp_path):
    rng = np.random.default_rng(0)
    for name, frames in (("a", (1, 2, 3)), ("b", (3, 4)), ("c", (9, 10))):
        (tmp_path / "t" / name).mkdir(parents=True)
        for f in frames:
            cv2.imwrite(str(tmp_path / "t" / name / f"{f:06}.png"), person(rng, (9, 99, 200)))
    sequence = tmp_path / "seq"
    (sequence / "gt").mkdir(parents=True)
    (sequence / "img1").mkdir()
    for f in (1, 2):
        cv2.imwrite(str(sequence / "img1" / f"{f:06}.jpg"), rng.integers(0, 255, (90, 120, 3)).astype(np.uint8))
    rows = [f"{f},{i},{10 * i},5,20,50,1,1,1" for f in (1, 2) for i in (1, 2)] + ["1,3,0,0,20,50,0,1,1"]
    (sequence / "gt" / "gt.txt").write_text("\n".join(rows))
    crops = load([Source("tracklets", tmp_path / "t", share=2), Source("mot", sequence)], SIZE, 0)
    a, b, c, one, two = range(5)
    assert len(crops) == 7 + 4 and len(crops.held_out) == 5
    assert crops.differ[a, b] and not crops.differ[a, c] and not crops.differ[b, c]
    assert crops.differ[one, two] and crops.differ[a, one] and not crops.differ.diagonal().any()
    batches = Batches(crops, 0, 5, 2)
    batch = batches.batch(0)
    assert batch["images"].shape == (10, *SIZE, 3) and batch["images"].dtype == np.uint8
    la = np.flatnonzero(batch["labels"] == a)[0]
    assert batch["possible"][la].tolist() == [True, True, False, True, True]
    again = Batches(crops, 0, 5, 2).batch(0)
    for name, value in batch.items():
        np.testing.assert_array_equal(value, again[name])


def test_held_out_identities_are_never_drawn(tmp_path):
    root = write_folders(tmp_path / "d", identities=6)
    crops = load([Source("folders", root, holdout=2)], SIZE, 0)
    assert crops.held_out.sum() == 2
    batches = Batches(crops, 0, 16, 2)
    assert batches.classes == 4 and set(batches.batch(1)["labels"].tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("change", [augment.jitter, augment.low_resolution, augment.blur, augment.colour,
                                    augment.noise])  # fmt: skip
def test_augmentation_keeps_shape_and_input(change):
    rng = np.random.default_rng(0)
    crop = rng.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
    kept = crop.copy()
    for _ in range(20):
        out = change(crop, rng)
        assert out.shape == crop.shape and out.dtype == np.uint8
    np.testing.assert_array_equal(crop, kept)


def test_occlusion_shows_the_other_or_a_plain_patch():
    rng = np.random.default_rng(0)
    crop, other = np.zeros((*SIZE, 3), np.uint8), np.full((*SIZE, 3), 200, np.uint8)
    shares = [(augment.occlude(crop, other, rng) != 0).any(2).mean() for _ in range(100)]
    assert min(shares) > 0 and max(shares) <= 0.51


def test_a_full_disk_leaves_the_last_state_whole(tmp_path, monkeypatch):
    path = tmp_path / "s.npz"
    save_state(path, {"a": np.arange(3)}, {"step": 1})

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(TrainStateError, match="No space left"):
        save_state(path, {"a": np.arange(9)}, {"step": 2})
    arrays, facts = load_state(path)
    assert facts == {"step": 1} and arrays["a"].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["s.npz"]
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(TrainStateError, match="not a training state"):
        load_state(path)


def test_identity_loss_leaves_out_what_may_be_the_same():
    import tensorflow as tf

    from freeze.training import losses

    logits = tf.constant([[2.0, 5.0, 0.0]])
    wide = losses.identity(logits, tf.constant([0]), tf.constant([[True, True, True]]))
    narrow = losses.identity(logits, tf.constant([0]), tf.constant([[True, False, True]]))
    share = np.exp([2.0, 0.0]) / np.exp([2.0, 0.0]).sum()
    np.testing.assert_allclose(narrow, -(0.95 * np.log(share[0]) + 0.05 * np.log(share[1])), rtol=1e-5)
    assert wide > narrow


def test_triplet_loss_takes_the_hardest_known_pairs():
    import tensorflow as tf

    from freeze.training import losses

    points = tf.constant([[0.0], [3.0], [1.0], [10.0]])
    labels = tf.constant([0, 0, 1, 1])
    everything = losses.hard_triplet(points, labels, tf.ones((4, 4), tf.bool))
    expected = np.log1p(np.exp([3 - 1, 3 - 2, 9 - 1, 9 - 7])).mean()
    np.testing.assert_allclose(everything, expected, rtol=1e-4)
    assert losses.hard_triplet(points, labels, tf.zeros((4, 4), tf.bool)) == 0


def test_a_log_without_tensorboard_is_refused_at_once(folders, tmp_path, monkeypatch, capsys):
    from freeze.training import train

    monkeypatch.setattr(train, "find_spec", lambda name: None)
    arguments = ["--data", str(folders), "--out", str(tmp_path / "c"), "--log", str(tmp_path / "log")]
    assert train.main(arguments) == 1
    assert "pip install tensorboard" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_relations_count_pairs_of_one_scene_that_have_a_teacher():
    import tensorflow as tf

    from freeze.training.losses import RELATIONS_WEIGHT, relations

    feature = tf.constant([[1.0, 0], [0, 2], [3, 0], [1, 1]])
    target = tf.constant([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    taught, scene = tf.constant([1.0, 1, 1, 0]), tf.constant([0, 0, 1, 0])
    # The one pair left is that of the first two: ours says 0, the teacher 1.
    np.testing.assert_allclose(relations(feature, target, taught, scene), RELATIONS_WEIGHT, rtol=1e-6)
    np.testing.assert_allclose(relations(feature, target, taught * 0, scene), 0)


def test_boxes_without_labels_are_also_drawn_beside(tmp_path):
    from freeze.training import readers

    (tmp_path / "img1").mkdir()
    (tmp_path / "det").mkdir()
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    for frame in range(1, 7):
        cv2.imwrite(str(tmp_path / "img1" / f"{frame:06}.jpg"), image)
    (tmp_path / "det" / "det.txt").write_text("3,-1,50,30,30,60,0.9\n4,-1,50,30,30,60,0.9\n6,-1,60,40,30,60,0.9\n")
    items = list(readers.read_unlabelled(tmp_path))
    assert [i.frame for i in items] == [3] * (1 + readers.BESIDE) + [6] * (1 + readers.BESIDE)
    assert len({i.name for i in items}) == len(items) and items[0].image.shape == (60, 30, 3)
    assert any(i.image.shape != (60, 30, 3) for i in items[1 : 1 + readers.BESIDE])


def test_half_of_a_crops_set_may_come_from_one_camera(folders):
    crops = load(read_manifest(folders), SIZE, 0)
    batches = Batches(crops, 0, 3, 2)
    identity = next(i for i in np.flatnonzero(~crops.held_out) if len(set(crops.camera[crops.identity == i])) == 2)
    for camera in (0, 1):
        rows = batches.crops_of(identity, camera, np.random.default_rng(1))
        assert len(set(rows)) == 2 and camera in crops.camera[rows] and set(crops.identity[rows]) == {identity}
    assert len(Batches(crops, 0, 3, 9).crops_of(identity, None, np.random.default_rng(1))) == 9


def test_the_last_layers_are_fitted_to_the_identities_learnt_from(folders):
    from freeze.training.loop import within_identities
    from freeze.training.model import features, initial_weights
    from tracker.core.vectors import unit_vectors

    crops = load(read_manifest(folders), SIZE, 0)
    weights = initial_weights(0)
    fitted = within_identities(crops, weights, 0)
    changed = {n for n in weights if not np.array_equal(weights[n], fitted[n])}
    assert "head/weights" in changed and all(n.startswith(("head/", "neck/")) for n in changed)
    assert np.isfinite(unit_vectors(features(fitted, crops.images))).all()
    crops.exclusive[:] = False  # of tracklets it is not known who is whose
    assert within_identities(crops, weights, 0) is weights
