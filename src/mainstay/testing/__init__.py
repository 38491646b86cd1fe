"""What every plug-in promises, as pytest classes: a plug-in's own tests subclass one and give it a fixture.

`registry.RegistryContract` holds a database to it, and `blobs.BlobsContract` a store of blobs. Mainstay's own backends
are held to the same. Nothing of the product imports this package, which needs pytest.
"""
