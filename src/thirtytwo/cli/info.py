"""``thirtytwo info``."""

from thirtytwo.cli.app import DeviceName, Json, app


@app.command()
def info(device: DeviceName = "auto", as_json: Json = False) -> None:
    """Show what this machine has: device, precision, threads, versions, cache."""
    from importlib.metadata import version

    from thirtytwo.cli.console import say, say_json
    from thirtytwo.data.cache import cache_dir, cache_size
    from thirtytwo.device import Device
    from thirtytwo.version import __version__

    found = {"thirtytwo": __version__, **Device.choose(device).describe()}
    for package in ("torchvision", "numpy", "scikit-learn", "pillow"):
        found[package] = version(package)
    found |= {"cache": str(cache_dir()), "cache_bytes": cache_size()}
    if as_json:
        say_json(found)
        return
    size = found.pop("cache_bytes")
    for key, value in found.items():
        say(key, str(value), f"{size / 1e6:,.1f} MB of decoded images and features" if key == "cache" else "")
