"""How the parsers of this package say that a file, or a part of it, is for another reader."""


class UnservedError(Exception):
    """A file that is not read natively, with the reason.

    It does not leave this package: `tiff.read_levels` turns it into the value `NotServed`.
    """
