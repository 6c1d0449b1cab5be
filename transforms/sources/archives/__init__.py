"""Archives and directories of images: their listing, and a member as bytes."""
