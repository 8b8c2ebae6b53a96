"Packaging shim: every value stands in settings.ini. Edit there, not here."

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist

root = Path(__file__).parent
ini = ConfigParser(delimiters=["="])
ini.read(root / "settings.ini", encoding="utf-8")
cfg = ini["DEFAULT"]
lib = cfg["lib_path"]
suffix = "_requirements"


class SDist(sdist):
    "A source distribution must carry settings.ini, or its own setup.py cannot run"

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, [*files, "settings.ini"])


setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    keywords=cfg["keywords"],
    license={"apache2": "Apache-2.0"}[cfg["license"]],
    license_files=["LICENSE"],
    long_description=(root / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require={k.removesuffix(suffix): cfg[k].split() for k in cfg if k.endswith(suffix)},
    packages=find_packages(include=[lib, f"{lib}.*"]),
    package_data={lib: ["py.typed"], f"{lib}.explorer": ["explorer.css", "explorer.js", "page.css", "page.js"]},
    zip_safe=False,
    cmdclass={"sdist": SDist},
    entry_points={
        "console_scripts": cfg["console_scripts"].split(),
        "nbdev": [f"{lib}={lib}._modidx:d"],
    },
)
