"""F3: dispatch, pools, scaling, supervision."""
