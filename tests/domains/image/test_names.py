import subprocess
import sys

PROGRAM = """
import sys
from twofold.domains.image import NAMES
assert {"digits", "fashion-mnist"} <= NAMES.keys()
loaded = {"torch", "numpy", "PIL", "torchvision", "sklearn"} & sys.modules.keys()
assert not loaded, loaded
import numpy as np
from twofold.domains.image import open_data
open_data(np.zeros((9, 8, 8)))
loaded = {"torch", "PIL", "torchvision", "sklearn", "h5py"} & sys.modules.keys()
assert not loaded, loaded
"""


def test_listing_names_and_opening_arrays_import_no_more_than_they_need():
    subprocess.run([sys.executable, "-c", PROGRAM], check=True)
