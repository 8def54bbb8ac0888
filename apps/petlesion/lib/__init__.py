"""Parts of the annotation server's app, one kind a folder; MONAI Label imports this package under the name `lib`."""
