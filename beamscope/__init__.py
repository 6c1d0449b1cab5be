"""Whole-slide images and chest X-ray archives to embeddings, with Apache Beam.

What users need is in ``__init__.pyi``, one line a name: type checkers and editors read it, and
`lazy_loader` imports a name from the module given there when it is first asked for. So ``import
beamscope`` itself loads neither Beam nor TensorFlow. A name that is not listed there may move.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
