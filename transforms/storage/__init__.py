"""Files anywhere: a local disk, gs://, s3://. Only this package imports a store's client."""
