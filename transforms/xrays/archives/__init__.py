"""Archives and directories of films: their listing, and a member as bytes."""
