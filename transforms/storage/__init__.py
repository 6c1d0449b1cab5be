"""Files anywhere: a local disk, gs://, s3://. Only this package imports a store's client.

``uris`` says which store a path names, ``files`` has what a caller needs, ``byte_source`` and
``remote_source`` read byte ranges, and ``cache`` keeps local copies. ``google_store`` and
``s3_store`` talk to one store each.
"""
