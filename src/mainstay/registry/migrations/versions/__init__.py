"""One file a revision, each with its reason; a revision that was released is never edited."""
