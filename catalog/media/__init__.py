"""Pictures and clips of products: from the upload to the files that pages show."""
