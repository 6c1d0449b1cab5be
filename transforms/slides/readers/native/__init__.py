"""Reading JPEG-tiled TIFF slides by decoding their tiles, each once a block."""
