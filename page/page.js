// The page of gen-userdata. The fields become one question to Python (bakery/page/answers.py), its answer becomes
// text nodes: no value is ever read as markup. After loading, the page forbids itself every further request.

const SITE_WIDE = { pool: "", trust_domain: "", image: "", group_name: "", worker: "", cloud: "", title: "", hide: [] };
const TEXTS = [
  "projects", "owners", "expression", "group_name", "trust_domain", "idle_minutes", "join_minutes", "max_hours",
  "gpu_jobs_only", "pool", "pool_host", "prominence_cloud", "region", "node_group", "schedd_name", "job_id", "place", "format", "worker",
];
const OTHER = "other";
const SEVERITIES = { error: "Error: ", warning: "Warning: ", note: "Note: " };
const PAUSE = 150; // milliseconds between a key and the answer
const LARGEST = 1024 * 1024; // bytes of a file; no cloud accepts more
// The files that a server may send in a wrong way, which Pyodide would wait for without end.
const SERVED = {
  "pyodide.mjs": "javascript",
  "pyodide.asm.mjs": "javascript",
  "pyodide.asm.wasm": "application/wasm",
  "python_stdlib.zip": "",
};

const at = (id) => document.getElementById(id);
let ask = null; // (question) -> answer, once Python runs
let preset = SITE_WIDE;
let poolOfPreset = "";
let isPresetPool = true; // whether the form has the pool that it began with
let choices = { pools: [], defaults: {} };
let pasted = null; // a token with line breaks, which its field cannot hold
let checked = null; // the bytes of the file that the text of Check is of, as base64
let made = null; // the answer that is shown
let waiting = 0;

// --- loading -----------------------------------------------------------------------------------

async function fetched(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

const { version, pyodide } = document.body.dataset;
const indexURL = new URL(`${pyodide}/`, document.baseURI).href;

// What is wrong with the way in which the server sends a file; null if nothing is known to be.
async function wrongly([name, wanted]) {
  const answer = await fetch(indexURL + name, { method: "HEAD" }).catch(() => null);
  if (!answer || [405, 501].includes(answer.status)) return null;
  if (!answer.ok) return new Error(`the server answers ${answer.status} for ${name}`);
  const type = answer.headers.get("Content-Type") ?? "";
  const right = wanted === "javascript" ? "text/javascript" : wanted;
  return type.includes(wanted) ? null : new Error(`the server sends ${name} as ${type || "no type"}, not as ${right}`);
}

const wrong = Promise.all(Object.entries(SERVED).map(wrongly)).then((found) => found.find(Boolean));

async function load() {
  const [python, archive, site] = await Promise.all([
    import(`${indexURL}pyodide.mjs`).then(({ loadPyodide }) => loadPyodide({ indexURL })),
    fetched(`worker-bakery.zip?v=${version}`).then((answer) => answer.arrayBuffer()),
    fetched(`preset.json?v=${version}`).then((answer) => answer.json()),
    wrong.then((problem) => problem && Promise.reject(problem)),
  ]);
  python.unpackArchive(archive, "zip", { extractDir: "/app" });
  const answers = python.runPython("import sys; sys.path.insert(0, '/app'); from bakery.page import answers; answers.answer");
  ask = (question) => asked(answers, question);
  preset = { ...SITE_WIDE, ...site };
  fill(ask({ ask: "choices" }));
  forbidRequests();
  at("loading").hidden = true;
  document.body.dataset.ready = "yes";
  update();
}

// An answer without a result has `failed`, so that nothing shows the result of an earlier question.
function asked(answers, question) {
  try {
    return JSON.parse(answers(JSON.stringify({ now: Date.now() / 1000, ...question })));
  } catch {
    return { failed: "Python has stopped in this browser. Reload the page." };
  }
}

// A second policy only adds to the first. Files that were loaded stay. The browser loads the icon when it likes.
function forbidRequests() {
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  const icon = document.querySelector("link[rel=icon]").href.replace(/[;,]/g, encodeURIComponent);
  policy.content = `default-src 'none'; script-src 'wasm-unsafe-eval'; img-src ${icon}`;
  document.head.append(policy);
}

function failed(problem) {
  at("loading").classList.add("error");
  at("loading-text").textContent =
    `The page could not load (${problem.message || problem}). It requires a current Firefox, Chrome, Edge or Safari, and a web server.`;
}

// --- the form ----------------------------------------------------------------------------------

function fill(found) {
  choices = found;
  const listed = choices.pools.map((one, number) => [number ? one.value : "", one.title]);
  options(at("pool"), [...listed, [OTHER, "Another pool …"]]);
  const places = choices.places.map((one) => [one.value, one.title]);
  options(at("place"), places);
  options(at("check-place"), [["", "Any cloud"], ...places]);
  presetValues();
}

function options(list, rows) {
  list.replaceChildren(...rows.map(([value, title]) => new Option(title, value)));
}

function presetValues() {
  if (preset.title) document.title = at("title").textContent = preset.title;
  for (const name of ["group_name", "trust_domain"]) at(name).value = preset[name];
  at("check-trust_domain").value = preset.trust_domain;
  at("pool_host").value = preset.pool; // PROMINENCE has no list
  if (preset.worker) at("worker").value = preset.worker;
  if (preset.cloud) at("place").value = preset.cloud;
  const known = choices.pools.findIndex((one) => one.value === preset.pool);
  if (known > 0) at("pool").value = preset.pool;
  if (preset.pool && known < 0) {
    at("pool").value = OTHER;
  } else if (!isProminence()) at("pool_host").value = "";
  poolOfPreset = pool();
  isPresetPool = true;
  for (const name of preset.hide) document.querySelector(`[data-field="${CSS.escape(name)}"]`)?.setAttribute("hidden", "");
}

function pool() {
  return isProminence() || at("pool").value === OTHER ? at("pool_host").value : at("pool").value;
}

// The issuer of the preset is that of its pool; it leaves the form with the pool, and comes back with it.
function arrangeIssuer() {
  const before = isPresetPool;
  isPresetPool = pool() === poolOfPreset;
  if (!preset.trust_domain || before === isPresetPool) return;
  if (isPresetPool) at("trust_domain").value = preset.trust_domain;
  else if (at("trust_domain").value === preset.trust_domain) at("trust_domain").value = "";
}

function isProminence() {
  return at("worker").value === "prominence";
}

// Shows the fields of this kind of worker, of this pool and of these jobs.
function arrange() {
  const other = isProminence() || at("pool").value === OTHER;
  arrangeIssuer();
  document.querySelector("label[for^=pool]").htmlFor = isProminence() ? "pool_host" : "pool";
  at("jobs-set").hidden = isProminence();
  at("prominence").hidden = !isProminence();
  hide("group_name", isProminence());
  at("pool").hidden = isProminence();
  at("pool_host").hidden = !other;
  hide("trust_domain", !other && !at("pool").value);
  at("named").hidden = jobs() === "anyone";
  for (const [name, key] of [["idle_minutes", "idle"], ["join_minutes", "join"]]) {
    const usual = choices.defaults[at("worker").value]?.[key];
    at(name).placeholder = usual === "0" ? "never" : usual || "";
  }
  // A group whose fields are all hidden would be an empty box.
  for (const group of document.querySelectorAll("#form > fieldset:not(#jobs-set), #form > details")) {
    group.hidden = ![...group.querySelectorAll("[data-field]")].some((one) => !one.hidden && !one.closest("#prominence[hidden]"));
  }
}

function hide(name, hidden) {
  document.querySelector(`[data-field="${name}"]`).hidden = hidden || preset.hide.includes(name);
}

function jobs() {
  return document.querySelector("input[name=jobs]:checked").value;
}

function form() {
  const values = Object.fromEntries(TEXTS.map((name) => [name, at(name).value]));
  const trust = document.querySelector('[data-field="trust_domain"]');
  return {
    ...values,
    token: pasted ?? at("token").value,
    jobs: jobs(),
    trust_domain: trust.hidden && !(preset.trust_domain && isPresetPool) ? "" : values.trust_domain,
    image: preset.image,
  };
}

function update() {
  clearTimeout(waiting);
  if (!ask) return;
  arrange();
  made = ask({ ask: "generate", form: form() });
  if (made.failed) Object.assign(made, { token: [], problems: [{ field: "", severity: "error", text: made.failed }] });
  show(made);
}

function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(update, PAUSE);
}

// --- showing -----------------------------------------------------------------------------------

function element(name, text, kind = "") {
  const created = document.createElement(name);
  created.textContent = text;
  if (kind) created.className = kind;
  return created;
}

function note(name, row) {
  const shown = element(name, "", `note ${row.severity}`);
  if (SEVERITIES[row.severity]) shown.append(element("b", SEVERITIES[row.severity]));
  shown.append(row.text);
  return shown;
}

function show(answer) {
  showToken(answer.token);
  showNotes([...answer.problems, ...(answer.findings ?? [])].filter((row) => row.severity !== "missing"));
  const done = answer.text !== undefined;
  at("made").hidden = !done;
  showState(answer, done);
  if (done) showMade(answer);
}

function showToken(rows) {
  const cells = rows.flatMap(([title, text]) => [element("dt", title), element("dd", text)]);
  at("token-says").replaceChildren(...cells);
  at("token-says").hidden = !rows.length;
}

// Each beside its field; those without a field that can be seen, above the result.
function showNotes(rows) {
  for (const place of document.querySelectorAll(".field > .notes, #anyone-notes")) place.replaceChildren();
  for (const field of document.querySelectorAll("#form [aria-invalid]")) field.removeAttribute("aria-invalid");
  const elsewhere = [];
  for (const row of rows) {
    const place = at(`${row.field}-notes`);
    if (place && seen(row.field)) {
      place.append(note("p", row));
      place.closest("details")?.setAttribute("open", "");
    } else elsewhere.push(note("li", row));
    if (row.severity === "error") mark([row.field, ...(row.also ?? "").split(" ")]);
  }
  at("problems").replaceChildren(...elsewhere);
}

// The element of a field that people can reach now; undefined if there is none.
function seen(name) {
  const shown = [name === "pool" ? at("pool_host") : null, at(name), name === "anyone" ? at("jobs-set") : null];
  return shown.find((one) => one && one.offsetParent !== null);
}

function mark(names) {
  for (const name of names) seen(name)?.setAttribute("aria-invalid", "true");
}

function showState(answer, done) {
  const rows = [...answer.problems, ...(answer.findings ?? []).filter((row) => row.severity === "error")];
  const wrong = rows.some((row) => row.severity === "error");
  at("state").className = done ? "ready" : wrong ? "wrong" : "";
  const missing = `Still missing: ${rows.map((row) => row.text).join(", ")}.`;
  const warned = (answer.findings ?? []).filter((row) => row.severity === "warning").length;
  const ready = warned ? `Ready to paste, with ${warned} warning${warned === 1 ? "" : "s"} in the form.` : "Ready to paste.";
  const text = answer.failed ? "There is no user-data." : done ? ready : wrong ? "Correct what is marked in the form." : missing;
  if (at("state").textContent !== text) at("state").textContent = text; // else a screen reader repeats it
  at("go").hidden = done || !wrong || !seen(rows[0].field);
  at("go").dataset.field = rows[0]?.field ?? "";
}

function showMade(answer) {
  at("user-data").textContent = at("show-token").checked ? answer.text : answer.hidden;
  at("size").textContent = answer.size;
  at("sentences").replaceChildren(
    ...answer.sentences.map((one) => element("li", one.trim(), one.startsWith("  ") ? "sample" : "")),
  );
  at("place-title").textContent = answer.place.title;
  at("steps").replaceChildren(...answer.place.steps.map((one) => element("li", one)));
  at("place-command").textContent = answer.place.command;
  at("place-command-line").hidden = !answer.place.command;
  at("condor-status").textContent = answer.condor_status;
}

// --- buttons -----------------------------------------------------------------------------------

async function copy(text, button) {
  // Pages without https have no clipboard of their own.
  const written = navigator.clipboard?.writeText(text).then(() => true, () => false);
  const done = (await written) || copyWithoutPermission(text);
  at("copied").textContent = done ? "Copied." : "The browser did not copy. Select the text and copy it.";
  const label = button.firstChild;
  label.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => {
    label.textContent = "Copy";
    at("copied").textContent = "";
  }, 1500);
}

function copyWithoutPermission(text) {
  const focused = document.activeElement;
  const area = element("textarea", text, "unseen");
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return done;
}

function download(text) {
  const link = document.createElement("a");
  // Chromium adds .txt to the name of a text/plain.
  link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  link.download = "user-data";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// The bytes of the chosen file, as base64: a text of the browser would have other line ends and no byte order mark.
function readInto(input, use, refuse) {
  const [file] = input.files;
  input.value = "";
  if (!file || !ask) return;
  if (file.size > LARGEST) return refuse(`${file.name} has more than 1 MiB. Choose another file.`);
  const reader = new FileReader();
  reader.addEventListener("load", () => use(reader.result.slice(reader.result.indexOf(",") + 1), file.name));
  reader.readAsDataURL(file);
}

function setToken(text) {
  pasted = /[\r\n]/.test(text.trim()) ? text : null;
  at("token").value = text.trim().replace(/[\r\n]+/g, " ");
  update();
}

function check() {
  if (!ask) return;
  const given = checked ? { data: checked } : { text: at("check-text").value };
  const answer = ask({ ask: "check", ...given, place: at("check-place").value, trust_domain: at("check-trust_domain").value });
  if (answer.failed) return forgetFindings(answer.failed);
  at("check-findings").replaceChildren(...answer.findings.map((row) => note("li", row)));
  const wrong = answer.findings.filter((row) => row.severity !== "note").length;
  at("check-state").className = wrong ? "" : "ready";
  at("check-state").textContent = wrong
    ? `${wrong} finding${wrong === 1 ? "" : "s"} in ${answer.bytes.toLocaleString("en")} bytes.`
    : `No errors and no warnings in ${answer.bytes.toLocaleString("en")} bytes.`;
  at("check-legend").hidden = !answer.findings.length;
}

function checkFile(data, name) {
  at("check-text").value = ask({ ask: "text", data }).text ?? "";
  at("check-file-name").textContent = `The bytes of the file ${name} are checked until you change this text.`;
  checked = data;
  check();
}

function forgetFindings(state) {
  at("check-findings").replaceChildren();
  at("check-legend").hidden = true;
  at("check-state").className = "";
  at("check-state").textContent = state;
}

function tokenFile(data) {
  setToken(ask({ ask: "token_file", data }).token ?? "");
}

function refuseToken(text) {
  setToken("");
  at("token-notes").replaceChildren(note("p", { severity: "error", text }));
}

function forgetFile() {
  checked = null;
  at("check-file-name").textContent = "";
}

// Browsers keep the fields of a page that they leave, for the way back, in memory or on the disk.
function forget() {
  at("form").reset();
  at("check-text").value = "";
  at("show-token").checked = false;
  at("user-data").replaceChildren();
  forgetFindings("Nothing was checked yet.");
  pasted = null;
  forgetFile();
  presetValues();
  update();
}

function choose(tab) {
  for (const one of document.querySelectorAll("[role=tab]")) {
    const chosen = one === tab;
    one.setAttribute("aria-selected", String(chosen));
    one.tabIndex = chosen ? 0 : -1;
    at(one.getAttribute("aria-controls")).hidden = !chosen;
  }
}

function moveTab(event) {
  if (!["ArrowLeft", "ArrowRight", "Home", "End"].includes(event.key)) return;
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const next = step ? (tabs.indexOf(event.target) + step + tabs.length) % tabs.length : event.key === "Home" ? 0 : tabs.length - 1;
  event.preventDefault();
  choose(tabs[next]);
  tabs[next].focus();
}

at("form").addEventListener("submit", (event) => event.preventDefault());
at("form").addEventListener("input", (event) => {
  if (event.target === at("token")) pasted = null;
  soon();
});
at("form").addEventListener("change", (event) => event.target.type !== "file" && update());
at("token").addEventListener("paste", (event) => {
  const text = event.clipboardData?.getData("text/plain") ?? "";
  if (!/[\r\n]/.test(text.trim())) return;
  event.preventDefault();
  setToken(text);
});
at("token-choose").addEventListener("click", () => at("token-file").click());
at("token-file").addEventListener("change", () => readInto(at("token-file"), tokenFile, refuseToken));
at("show-token").addEventListener("change", () => made?.text !== undefined && showMade(made));
at("go").addEventListener("click", () => {
  const field = seen(at("go").dataset.field);
  field?.closest("details")?.setAttribute("open", "");
  field?.focus();
  field?.scrollIntoView({ block: "center" });
});
at("copy").addEventListener("click", (event) => copy(made.text, event.currentTarget));
at("copy-status").addEventListener("click", (event) => copy(made.condor_status, event.currentTarget));
at("copy-command").addEventListener("click", (event) => copy(made.place.command, event.currentTarget));
at("download").addEventListener("click", () => download(made.text));
at("check").addEventListener("click", check);
at("check-choose").addEventListener("click", () => at("check-file").click());
at("check-file").addEventListener("change", () => readInto(at("check-file"), checkFile, forgetFindings));
at("check-text").addEventListener("input", forgetFile);
for (const name of ["check-text", "check-place", "check-trust_domain"]) {
  at(name).addEventListener("input", () => forgetFindings("This was not checked yet."));
}
addEventListener("pagehide", forget);
for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => choose(tab));
  tab.addEventListener("keydown", moveTab);
}
load().catch(async (problem) => failed((await wrong) ?? problem));
