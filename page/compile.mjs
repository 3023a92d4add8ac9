// Compiles Python's library ahead: node compile.mjs FOLDER OUTPUT
// FOLDER has the files of Pyodide; its own Python compiles, so the bytecode is that of its version.

import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, output] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(path.join(folder, "pyodide.mjs")).href);
const python = await loadPyodide({ indexURL: folder });
python.FS.writeFile("/sources.zip", fs.readFileSync(path.join(folder, "python_stdlib.zip")));
// The names of the files are those that tracebacks show in the browser. "Unchecked" says that no source is looked for.
python.runPython(`
import importlib._bootstrap_external as bootstrap
import importlib.util
import sys
import zipfile

library = next(one for one in sys.path if one.endswith(".zip"))
with zipfile.ZipFile("/sources.zip") as sources, zipfile.ZipFile("/compiled.zip", "w") as compiled:
    for name in sorted(sources.namelist()):
        data = sources.read(name)
        if name.endswith(".py"):
            code = compile(data, f"{library}/{name}", "exec", dont_inherit=True, optimize=2)
            data = bootstrap._code_to_hash_pyc(code, importlib.util.source_hash(data), False)
            name += "c"
        if not name.endswith("/"):
            compiled.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)
`);
fs.writeFileSync(output, python.FS.readFile("/compiled.zip"));
