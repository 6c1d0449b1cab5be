"""The reader of JPEG-tiled TIFF slides that decodes each tile once a block."""
