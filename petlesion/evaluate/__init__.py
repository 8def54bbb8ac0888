"""How good a segmentation is: voxels, lesions, patients, and the uncertainty of each number."""
