import pytest

from beamscope.transforms.clutter import clutter_in


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("a.svs", None),
        ("deep/er/a.svs", None),
        # Like clutter, but a name that a person may have given.
        ("trash/a.svs", None),
        ("recycled/a.svs", None),
        ("my thumbnails/a.svs", None),
        ("macosx/a.svs", None),
        ("Trash-1000/a.svs", None),
        # Folders.
        (".Trash-1000/files/a.svs", ".Trash-1000"),
        (".Trashes/501/a.svs", ".Trashes"),
        ("x/@eaDir/a.svs/SYNOPHOTO_THUMB_XL.jpg", "@eaDir"),
        ("#recycle/a.svs", "#recycle"),
        ("$RECYCLE.BIN/S-1-5-21/$RABC.svs", "$RECYCLE.BIN"),
        ("x/.ipynb_checkpoints/a-checkpoint.svs", ".ipynb_checkpoints"),
        ("__MACOSX/x/._a.svs", "__MACOSX"),
        ("thumbnails/a.tif", "thumbnails"),
        # Files.
        ("x/._a.svs", "._a.svs"),
        ("x/.DS_Store", ".DS_Store"),
        ("Thumbs.db", "Thumbs.db"),
        # The name of a folder alone makes no file clutter.
        ("x/@eaDir", None),
    ],
)
def test_clutter_in(path, part):
    assert clutter_in(path) == part
