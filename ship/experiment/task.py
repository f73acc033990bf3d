"""What a task may say: where its images come from, how they are read, and how they are split. Loads no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ship.experiment.fields import Address, Place, Positive, Seed, Settings, Sha256, Size

PUBLISHED = ("vtab1k", "fgvc")  # sources that are described in a table
OWN = ("folder", "csv")  # sources whose images nobody has published


class Task(Settings):
    """Where the images of a task come from, and how they are split."""

    source: Annotated[
        Literal["builtin", "vtab1k", "fgvc", "vtab", "folder", "csv"],
        Field(
            description="builtin: made by ship; vtab1k, fgvc: the published task of this name, from its original "
            "archives; vtab: train800.txt ... with `path label` lines; "
            "folder: one sub-folder per class; csv: `path,label` lines"
        ),
    ] = "builtin"
    path: Annotated[Place | None, Field(description="folder, CSV file or archive (zip, tar.gz), under `data_root`")] = (
        None
    )
    url: Annotated[Address | None, Field(description="archive to download; needs sha256")] = None
    sha256: Annotated[Sha256 | None, Field(description="of the archive")] = None
    group: Annotated[
        Literal["natural", "specialized", "structured", "own"] | None,
        Field(description="of VTAB; that of the published or built-in task of this name, or own, where absent"),
    ] = None
    classes: Annotated[Positive | None, Field(description="expected number; counted where absent")] = None
    train: Annotated[Size, Field(description="images to train on, or a share of all (folder, csv)")] = 800
    val: Annotated[Size, Field(description="images to choose settings on, or a share (folder, csv)")] = 200
    test: Annotated[
        Size | None,
        Field(description="images to test on, or a share (folder, csv); 1,000 drawn ones or all others where absent"),
    ] = None
    seed: Annotated[Seed, Field(description="of the split, or of a built-in task")] = 0
    broken: Annotated[
        Literal["refuse", "skip"], Field(description="images that cannot be read (folder, csv); skip counts them")
    ] = "refuse"
    labels: Annotated[
        Literal["names", "numbers"] | None,
        Field(description="of a CSV file; numbers from 0 without a gap are numbers, others names, where absent"),
    ] = None
    alpha: Annotated[
        Literal["drop", "white", "black"] | None,
        Field(description="what is behind an image; dropped where absent, unless one colour would be left"),
    ] = None
    orientation: Annotated[
        Literal["stored", "exif"], Field(description="exif turns images as their camera notes it")
    ] = "stored"
    bits: Annotated[int, Field(ge=9, le=16, description="that images of 16 bits use: 12 for many cameras")] = 16
    frames: Annotated[
        Literal["first", "middle", "last", "refuse"], Field(description="of an image with several frames or pages")
    ] = "first"
    pixels: Annotated[Positive, Field(description="an image with more is shrunk while it is decoded")] = 100_000_000

    @model_validator(mode="after")
    def _place(self) -> Task:
        place = [key for key in ("path", "url", "sha256") if getattr(self, key) is not None]
        published = self.source in PUBLISHED
        if (self.source == "builtin" or published) and place:
            raise ValueError(f"expected source vtab, folder or csv beside {place[0]}, got {self.source}")
        fixed = {"train", "val", "test", *(("seed",) if self.source == "vtab1k" else ())}
        if published and (odd := sorted(self.model_fields_set & fixed)):
            raise ValueError(f"expected no {odd[0]} with source {self.source!r}, whose splits are official, got one")
        if self.source != "builtin" and not published and (self.path is None) == (self.url is None):
            got = "both" if self.path is not None else "neither"
            raise ValueError(f"expected either path or url with source {self.source!r} (the other null), got {got}")
        if self.url is not None and self.sha256 is None:
            raise ValueError("expected sha256 beside url, so that what is downloaded can be verified, found none")
        if self.source == "vtab" and (odd := sorted(self.model_fields_set & {"train", "val", "test", "seed"})):
            raise ValueError(f"expected no {odd[0]} with source 'vtab', whose lists are the splits, got one")
        shares = [size for size in (self.train, self.val, self.test) if isinstance(size, float)]
        if shares and self.source not in OWN:
            raise ValueError(f"expected sizes in images with source {self.source!r}, got the share {shares[0]:g}")
        if sum(shares) > 1 + 1e-9:
            sizes = f"train {self.train}, val {self.val}, test {self.test}"
            raise ValueError(f"expected shares that make 1 at most, got {sum(shares):g} ({sizes})")
        if self.source not in OWN and (self.broken != "refuse" or self.labels is not None):
            key = "labels" if self.broken == "refuse" else "broken"
            raise ValueError(f"expected source folder or csv beside {key}, got {self.source}")
        return self
