"""Facts: versions, aliases, events and deployments in a SQL database, and their files in a blob store."""
