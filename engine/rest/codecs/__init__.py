"""F5: the bodies of AWS's other protocols: JSON 1.0 and 1.1, RPC v2 CBOR, query. Lambda's own is REST: `request.py`."""
