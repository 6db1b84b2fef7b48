"""Single pictures: the paper's architectures, data sets such as dSprites, and their task."""

from training.pictures.architecture import PictureArchitecture, PictureVAE
from training.pictures.config import PictureConfig
from training.pictures.sets import GreyPictures, PackedPictures, PictureSet
from training.pictures.task import PictureTask, load_picture_run, train_on_pictures

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
