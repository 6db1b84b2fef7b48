"""Single pictures: the paper's architectures, data sets such as dSprites, and their task."""

from training.dsprites.architecture import PictureArchitecture, PictureVAE
from training.dsprites.config import PictureConfig
from training.dsprites.sets import GreyPictures, PackedPictures, PictureSet
from training.dsprites.task import PictureTask, load_picture_run, train_on_pictures

__all__ = [
    "GreyPictures",
    "PackedPictures",
    "PictureArchitecture",
    "PictureConfig",
    "PictureSet",
    "PictureTask",
    "PictureVAE",
    "load_picture_run",
    "train_on_pictures",
]
