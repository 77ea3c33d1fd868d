"""The commands about shards, a module each; `launch.commands` has their arguments."""
