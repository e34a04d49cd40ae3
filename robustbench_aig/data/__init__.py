"""Images and labels: the embedded digits, torchvision's sets, and folders of image files."""

from robustbench_aig.data.images import DataSet, ImageSet, digest_of
from robustbench_aig.data.sources import load_data

__all__ = ["DataSet", "ImageSet", "digest_of", "load_data"]
