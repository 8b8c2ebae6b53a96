"The notebooks, run and stored; README.md and the documentation site, made from them: `python .docs --help`"

import tyro
from nbrun import run
from nbsite import readme, site

if __name__ == "__main__":
    tyro.extras.subcommand_cli_from_dict({"run": run, "readme": readme, "site": site}, prog="python .docs")
