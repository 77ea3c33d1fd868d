"""The label files of public releases, as they were published, and how to make ours of them."""
