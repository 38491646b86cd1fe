"""One module for each page of docs/reference: `page()` gives its Markdown."""
