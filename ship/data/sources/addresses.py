"""The original archives of VTAB-1k and FGVC: where they lie, and what they must be. Loads no torch.

Sizes and digests are those that TensorFlow Datasets 4.2.0 and 4.9.10 record, which are what the official builders
accept; where they record none, the source is named beside the row.
"""

from __future__ import annotations

from ship.data.sources.rows import Archive

PCAM = "camelyonpatch_level_2_split_{}_{}.h5.gz"  # with the part, and x or y
NORB = {  # with dat or info
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training-{}.mat.gz",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing-{}.mat.gz",
}
DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"
_PETS = "https://thor.robots.ox.ac.uk/~vgg/data/pets/"
_FLOWERS = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
_SVHN = "http://ufldl.stanford.edu/housenumbers/"
_PCAM = "https://zenodo.org/record/2546921/files/"
_KITTI = "https://s3.eu-central-1.amazonaws.com/avg-kitti/"
_NORB = "https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/"
_DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs/"
_CARS = ("http://ai.stanford.edu/~jkrause/car196/", "http://imagenet.stanford.edu/internal/car196/")
_KIT = (  # with the digest that torchvision has
    "https://github.com/pytorch/vision/files/11644847/car_devkit.tgz",
    "https://ai.stanford.edu/~jkrause/cars/car_devkit.tgz",
)
_KAGGLE = (
    "get it from https://www.kaggle.com/c/diabetic-retinopathy-detection/data (it needs an account); "
    "train.zip has five parts and test.zip seven: leave them as they are"
)
_ORDINARY = (
    # the lists and class names of the official builders; of all SUN397 splits, only these files have that of VTAB
    Archive(
        "tensorflow_datasets-4.2.0-py3-none-any.whl",
        (
            "https://files.pythonhosted.org/packages/d3/91/c3e36695ca04e6f3c2d920887d7dc36550f6bbb03d7d5fd03c2172b06d97/"
            "tensorflow_datasets-4.2.0-py3-none-any.whl",
        ),
        3728114,
        "be2532e7de3c7aac3e95a094c3c95b9b1f1a7f2e98daeb16d212dda4382de264",
    ),
    Archive(
        "cifar-100-binary.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
        168513733,
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    ),
    Archive(
        "caltech-101.zip",
        ("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip?download=1",),
        137414764,
        "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91",
    ),
    Archive(
        "dtd-r1.0.1.tar.gz",
        ("https://www.robots.ox.ac.uk/~vgg/data/dtd/download/dtd-r1.0.1.tar.gz",),
        625239812,
        "e42855a52a4950a3b59612834602aa253914755c95b0cff9ead6d07395f8e205",
    ),
    Archive(
        "102flowers.tgz",
        (_FLOWERS + "102flowers.tgz",),
        344862509,
        "2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
    ),
    Archive(
        "imagelabels.mat",
        (_FLOWERS + "imagelabels.mat",),
        502,
        "4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
    ),
    Archive(
        "setid.mat",
        (_FLOWERS + "setid.mat",),
        14989,
        "46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
    ),
    Archive(
        "images.tar.gz",
        (_PETS + "images.tar.gz", "http://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz"),
        791918971,
        "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
    ),
    Archive(
        "annotations.tar.gz",
        (_PETS + "annotations.tar.gz", "http://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz"),
        19173078,
        "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
    ),
    Archive(
        "train_32x32.mat",
        (_SVHN + "train_32x32.mat",),
        182040794,
        "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
    ),
    Archive(
        "test_32x32.mat",
        (_SVHN + "test_32x32.mat",),
        64275384,
        "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
    ),
    Archive(
        "SUN397.tar.gz",
        ("https://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",),
        39077296924,
        "f404130965a7ad77bed5ececc71e720ab50f3cc1e1bb257257610d38f3b928ec",
        "8ca2778205c41d23104230ba66911c7a",
        "the publisher's address answered 404 in June 2026: ask for a copy where you work; its sha256 is checked",
    ),
    Archive(
        "EuroSAT.zip",
        (
            "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
            "http://madm.dfki.de/files/sentinel/EuroSAT.zip",
        ),
        94280567,
        "8ebea626349354c5328b142b96d0430e647051f26efc2dc974c843f25ecf70bd",
        "c8fa014336c82ac7804f0398fcb19387",
    ),
    # TensorFlow Datasets records no digest: this one is of a copy of the publisher's rar, packed as zip
    Archive(
        "NWPU-RESISC45.zip",
        (
            "https://huggingface.co/datasets/isaaccorley/resisc45/resolve/883edc0eee77b2c84225472f10f126e3ed83fa6e/"
            "NWPU-RESISC45.zip",
        ),
        None,
        "beeecd0b63656290ae6d65cf7763185b0c1c4c54a753ef8088d6fba3faaf1f53",
    ),
    *(Archive(f"train.zip.{part:03}", (), how=_KAGGLE) for part in range(1, 6)),
    *(Archive(f"test.zip.{part:03}", (), how=_KAGGLE) for part in range(1, 8)),
    Archive("trainLabels.csv.zip", (), how=_KAGGLE),
    Archive(
        "retinopathy_solution.csv",
        ("https://storage.googleapis.com/kaggle-forum-message-attachments/90528/2877/retinopathy_solution.csv",),
        1181257,
        "a6af3d66804e81887da89b9261bcfb7da4f5bacedb070f1b5db83fa879ab60c9",
    ),
    Archive(
        "CLEVR_v1.0.zip",
        ("https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip",),
        19021600724,
        "5cd61cf1096ed20944df93c9adb31e74d189b8459a94f54ba00090e5c59936d1",
    ),
    Archive(
        "dmlab.tar.gz",
        ("https://storage.googleapis.com/dmlab-vtab/dmlab.tar.gz",),
        3017022789,
        "638b18fa69a5d61bbc310cd0b87ac603a39f41de0fdb07b6e77de274a24480a4",
    ),
    Archive(
        "data_object_image_2.zip",
        (_KITTI + "data_object_image_2.zip",),
        12569945557,
        "351c5a2aa0cd9238b50174a3a62b846bc5855da256b82a196431d60ff8d43617",
    ),
    Archive(
        "data_object_label_2.zip",
        (_KITTI + "data_object_label_2.zip",),
        5601213,
        "4efc76220d867e1c31bb980bbf8cbc02599f02a9cb4350effa98dbb04aaed880",
    ),
    Archive(
        "devkit_object.zip",
        (_KITTI + "devkit_object.zip",),
        63794,
        "ce0b76b69c0c5f89690a0d65b7302bbbdb962a0c7e8aba6efc7050d1b04b4cf1",
    ),
    Archive(
        DSPRITES,
        (
            f"https://github.com/deepmind/dsprites-dataset/raw/master/{DSPRITES}",
            f"https://github.com/deepmind/dsprites-dataset/blob/master/{DSPRITES}?raw=true",
        ),
        28024106,
        "729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
    ),
    # FGVC
    Archive(
        "CUB_200_2011.tgz",
        ("https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz?download=1",),
        1150585339,
        "0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081",
        "97eceeb196236b17998738112f37df78",
    ),
    Archive(
        "nabirds.tar.gz",
        (),
        how="ask for it at https://dl.allaboutbirds.org/nabirds (a form), and save it as nabirds.tar.gz",
    ),
    Archive(
        "images.tar",
        (_DOGS + "images.tar",),
        793579520,
        "a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
    ),
    Archive(
        "lists.tar",
        (_DOGS + "lists.tar",),
        481280,
        "34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
    ),
)
_CAR_FILES = (
    ("cars_train.tgz", 979269282, "512b227b30e2f0a8aab9e09485786ab4479582073a144998da74d64b801fd288"),
    ("cars_test.tgz", 977350468, "bffea656d6f425cba3c91c6d83336e4c5f86c6cffd8975b0f375d3a10da8e243"),
    ("cars_test_annos_withlabels.mat", 185758, "790f75be8ea34eeded134cc559332baf23e30e91367e9ddca97d26ed9b895f05"),
)
_PCAM_FILES = (
    (PCAM.format("train", "x"), 6421353462, "d619e741468a7ab35c7e4a75e6821b7e7e6c9411705d45708f2a0efc8960656c"),
    (PCAM.format("train", "y"), 21378, "b74126d2c01b20d3661f9b46765d29cf4e4fba6faba29c8e0d09d406331ab75a"),
    (PCAM.format("valid", "x"), 805965320, "f82ee1670d027b4ec388048d9eabc2186b77c009655dae76d624c0ecb053ccb2"),
    (PCAM.format("valid", "y"), 3038, "ce1ae30f08feb468447971cfd0472e7becd0ad96d877c64120c72571439ae48c"),
    (PCAM.format("test", "x"), 800875929, "79174c2201ad521602a5888be8f36ee10875f37403dd3f2086caf2182ef87245"),
    (PCAM.format("test", "y"), 3040, "0a522005fccc8bbd04c5a117bfaf81d8da2676f03a29d7499f71d0a0bd6068ef"),
)
_NORB_FILES = (
    (NORB["train"].format("dat"), 131896188, "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873"),
    (NORB["train"].format("info"), 71052, "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32"),
    (NORB["test"].format("dat"), 130799817, "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474"),
    (NORB["test"].format("info"), 10428, "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2"),
)

ARCHIVES: dict[str, Archive] = {
    one.name: one
    for one in (
        *_ORDINARY,
        *(Archive(name, (_PCAM + name,), size, digest) for name, size, digest in _PCAM_FILES),
        *(Archive(name, (_NORB + name,), size, digest) for name, size, digest in _NORB_FILES),
        *(Archive(name, tuple(place + name for place in _CARS), size, digest) for name, size, digest in _CAR_FILES),
        Archive("car_devkit.tgz", _KIT, md5="c3b158d763b6e2245038c8ad08e45376"),
    )
}
