from ship.data.formats import UNFIT, formats, suffixes


def test_formats_that_pil_cannot_read_by_itself_are_left_out():
    """PostScript would start Ghostscript; their suffixes are those of no image."""
    assert {"PNG", "JPEG", "TIFF", "WEBP"} <= {*formats()}
    assert not UNFIT & {*formats()}
    assert not {".eps", ".pdf", ".h5"} & suffixes()


def test_suffixes_are_compared_in_lower_case():
    """With their dot."""
    assert {".jpg", ".jfif", ".tif"} <= suffixes()
    assert all(suffix == suffix.lower() and suffix[0] == "." for suffix in suffixes())
