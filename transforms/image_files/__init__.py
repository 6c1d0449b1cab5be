"""Files of pixels, whatever they show: JPEG, PNG and TIFF, decoded strictly."""
