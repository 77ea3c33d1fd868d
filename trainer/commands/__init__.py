"""The commands about training, a module each; `launch.commands` has their arguments."""
