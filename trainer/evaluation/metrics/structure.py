"""The structure measure of masks: Fan et al., "Structure-measure: A New Way to Evaluate Foreground Maps", ICCV 2017."""
