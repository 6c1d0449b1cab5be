"""Sources of images: archives, directories and loose files. Images and patches share them."""
