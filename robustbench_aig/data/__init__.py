"""Images and labels: the embedded digits, torchvision's sets, and folders of image files."""

from robustbench_aig.data.images import DataSet, ImageSet, digest_of
from robustbench_aig.data.naming import positions_of, read_list
from robustbench_aig.data.sources import KNOWN, load_data

__all__ = ["KNOWN", "DataSet", "ImageSet", "digest_of", "load_data", "positions_of", "read_list"]
