// The try-it page of a node: it reads the node's own document and asks the node, and nothing else. No library, no
// address but the node's. Text comes into the page as text alone (textContent), so no answer can become markup.
"use strict";

const TEXT = {
  en: {
    skip: "Skip to the addresses", title: "node API", loading: "Reading the document.", find: "Find an address",
    about: "Everything this node answers. Nothing on this page leaves your machine but the requests you send.",
    common: "For all requests", signature: "Liushui-Signature (key,ms,signature)", token: "Bearer token",
    send: "Send", stop: "Stop", copy: "Copy the curl line", copied: "Copied", required: "required", body: "Body (JSON)",
    file: "Body from a file (sent as msgpack)", status: "Status", headers: "Headers", answer: "Body", curl: "curl",
    wrong: "What went wrong", action: "What to do", retryable: "The same request may be sent again later.",
    failed: "The node did not answer.", signed: "This address needs a signed request.", token_only: "This address needs a bearer token.",
    either: "This address needs a signed request or a bearer token.", empty: "(empty)",
    may_sign: "Some cases of this address need a signed request.", codes: "Problems this address knows:",
    bytes: "bytes that are no text", found: "addresses", nothing: "No address matches.", none: "(not given)",
    missing: "This is required.", cut: "The rest is not shown.", socket: "Listen with a websocket", closed: "closed",
  },
  zh: {
    skip: "跳到接口列表", title: "节点接口", loading: "正在读取接口文档。", find: "查找接口",
    about: "本节点提供的全部接口。除了您发送的请求，本页面不会向外传送任何内容。",
    common: "用于所有请求", signature: "Liushui-Signature（公钥,毫秒,签名）", token: "访问令牌",
    send: "发送", stop: "停止", copy: "复制 curl 命令", copied: "已复制", required: "必填", body: "请求内容（JSON）",
    file: "从文件读取请求内容（以 msgpack 发送）", status: "状态", headers: "响应头", answer: "响应内容", curl: "curl",
    wrong: "出了什么问题", action: "怎么办", retryable: "稍后可以原样重试。",
    failed: "节点没有应答。", signed: "此接口需要签名请求。", token_only: "此接口需要访问令牌。",
    either: "此接口需要签名请求或访问令牌。", empty: "（空）",
    may_sign: "此接口的部分用法需要签名请求。", codes: "此接口可能返回的问题代码：",
    bytes: "字节，不是文本", found: "个接口", nothing: "没有匹配的接口。", none: "（不填）",
    missing: "此项必填。", cut: "其余内容未显示。", socket: "用 websocket 接收", closed: "已关闭",
  },
};
const SHOWN_MAX = 200000;

let language = (navigator.language || "").toLowerCase().startsWith("zh") ? "zh" : "en";
let contract = null;

const byId = (id) => document.getElementById(id);
const say = (key) => TEXT[language][key];

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

function words(key) { // text that follows the language switch
  return make("span", { "data-text": key }, say(key));
}

function summaryOf(operation) {
  return (language === "zh" && operation["x-summary-zh"]) || operation.summary;
}

function makeField(parameter, number) {
  const schema = parameter.schema, items = schema.items || schema;
  const id = `field-${number}-${parameter.name}`;
  let field;
  if (items.enum) {
    field = make("select", { id });
    if (!parameter.required) field.append(make("option", { value: "", "data-text": "none" }, say("none")));
    for (const one of items.enum) field.append(make("option", { value: one }, one));
  } else {
    const examples = items.examples || [];
    field = make("input", { id, autocomplete: "off", spellcheck: "false", placeholder: examples.length ? String(examples[0]) : "" });
    if (items.type === "integer") field.setAttribute("inputmode", "numeric");
  }
  const title = make("span", {}, parameter.name);
  if (parameter.required) title.append(" (", words("required"), ")");
  if (parameter.description) title.append(` — ${parameter.description}`);
  const label = make("label", { for: id }, title, field);
  return { parameter, field, label, isList: schema.type === "array" };
}

function sampleBody(schema, depth) { // a body to start from: what is required, as empty as it may be
  if (!schema || depth > 6) return null;
  if (schema.$ref) return sampleBody(contract.components.schemas[schema.$ref.split("/").pop()], depth + 1);
  if (schema.type === "object") {
    const made = {};
    for (const name of schema.required || []) made[name] = sampleBody((schema.properties || {})[name], depth + 1);
    return made;
  }
  if (schema.type === "array") return [sampleBody(schema.items, depth + 1)];
  if (schema.type === "integer") return schema.minimum || 0;
  return "";
}

function quote(text) { // for a POSIX shell
  return `'${text.replace(/'/g, "'\\''")}'`;
}

function describeCurl(request) {
  const parts = ["curl", "-i"];
  if (request.method !== "GET") parts.push("-X", request.method);
  if (request.stream) parts.push("-N");
  for (const [name, value] of Object.entries(request.headers)) {
    parts.push("-H", quote(name === "Authorization" ? "Authorization: Bearer $TOKEN" : `${name}: ${value}`));
  }
  if (typeof request.body === "string") parts.push("--data-binary", quote(request.body));
  else if (request.body) parts.push("--data-binary", "@FILE");
  parts.push(quote(request.url));
  return parts.join(" ").replace("'Authorization: Bearer $TOKEN'", '"Authorization: Bearer $TOKEN"');
}

function collect(path, method, operation, fields, bodyField, fileField) {
  const query = new URLSearchParams();
  let address = path, complete = true;
  for (const one of fields) {
    const value = one.field.value.trim(), isMissing = one.parameter.required && !value;
    one.label.classList.toggle("missing", isMissing);
    one.field.setAttribute("aria-invalid", String(isMissing));
    if (isMissing && complete) { one.field.focus(); complete = false; }
    if (!value) continue;
    if (one.parameter.in === "path") address = address.replace(`{${one.parameter.name}}`, encodeURIComponent(value));
    else for (const each of one.isList ? value.split(/[\s,]+/) : [value]) query.append(one.parameter.name, each);
  }
  if (!complete) return null;
  const headers = { "Accept-Language": language };
  const signature = byId("signature").value.trim(), token = byId("token").value.trim();
  if (operation.security && signature) headers["Liushui-Signature"] = signature;
  if (operation.security && token) headers.Authorization = `Bearer ${token}`;
  const request = { method: method.toUpperCase(), headers, stream: "text/event-stream" in ((operation.responses["200"] || {}).content || {}) };
  request.url = location.origin + address + (query.toString() ? `?${query}` : "");
  if (fileField && fileField.files.length) {
    request.body = fileField.files[0];
    headers["Content-Type"] = "application/msgpack";
  } else if (bodyField && bodyField.value.trim()) {
    request.body = bodyField.value;
    headers["Content-Type"] = "application/json";
  }
  return request;
}

function show(result, key, text) {
  const shown = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}\n${say("cut")}` : text;
  const pre = make("pre", { tabindex: "0" }, shown || say("empty"));
  result.append(make("h3", {}, words(key)), pre);
  return pre;
}

function showCurl(result, request) {
  const line = describeCurl(request);
  show(result, "curl", line);
  const button = make("button", { type: "button", "data-text": "copy" }, say("copy"));
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(line); button.textContent = say("copied"); } catch { button.remove(); }
  });
  if (navigator.clipboard) result.append(button);
}

function showProblem(result, problem) {
  const told = make("div", {}, make("h3", {}, words("wrong")), make("p", {}, `${problem.title || ""} ${problem.detail || ""}`.trim()));
  if (problem.action) told.append(make("h3", {}, words("action")), make("p", {}, problem.action));
  if (problem.retryable) told.append(make("p", { class: "hint" }, words("retryable")));
  result.append(told);
}

async function readStream(answer, pre, signal) {
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  pre.textContent = "";
  while (!signal.aborted) {
    const { done, value } = await reader.read();
    if (done) return;
    pre.textContent = (pre.textContent + decoder.decode(value, { stream: true })).slice(-SHOWN_MAX);
    pre.scrollTop = pre.scrollHeight;
  }
}

async function showAnswer(result, answer, request, signal) {
  const type = (answer.headers.get("Content-Type") || "").split(";")[0];
  const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  if (request.stream && answer.ok) {
    show(result, "headers", headers);
    await readStream(answer, show(result, "answer", ""), signal);
    return;
  }
  const raw = await answer.arrayBuffer();
  let text, value = null;
  try { text = new TextDecoder("utf-8", { fatal: true }).decode(raw); } catch { text = `${raw.byteLength} ${say("bytes")}`; }
  if (type.endsWith("json")) { try { value = JSON.parse(text); } catch { value = null; } }
  if (type === "application/problem+json" && value) showProblem(result, value);
  show(result, "answer", value === null ? text : JSON.stringify(value, null, 2));
  show(result, "headers", headers);
}

async function send(request, result, sendButton, stopButton) {
  const control = new AbortController(), began = performance.now();
  const status = make("p", { class: "status", role: "status" }, "…");
  stopButton.onclick = () => control.abort();
  sendButton.disabled = true;
  stopButton.hidden = false;
  result.replaceChildren(status);
  try {
    const answer = await fetch(request.url, { ...request, signal: control.signal, credentials: "omit", cache: "no-store" });
    status.textContent = `${answer.status} ${answer.statusText} · ${Math.round(performance.now() - began)} ms`;
    status.classList.add(answer.ok ? "good" : "bad");
    await showAnswer(result, answer, request, control.signal);
  } catch (error) {
    if (error.name !== "AbortError") {
      status.textContent = say("failed");
      status.classList.add("bad");
    } else if (status.textContent === "…") status.textContent = say("closed");
  } finally {
    sendButton.disabled = false;
    stopButton.hidden = true;
    showCurl(result, request);
  }
}

function listCodes(operation) {
  const codes = Object.entries(operation.responses).filter(([status]) => status >= "400").map(([status, one]) => `${status} ${one.description}`);
  return codes.length ? make("p", { class: "codes" }, words("codes"), ` ${codes.join("; ")}`) : "";
}

function nameWay(security) { // how to show who asks
  const ways = security.map((one) => Object.keys(one)[0]);
  if (ways.includes(undefined)) return "may_sign";
  if (!ways.includes("bearer_token")) return "signed";
  return ways.includes("request_signature") ? "either" : "token_only";
}

function fill(box, path, method, operation, number) { // made when opened, so that the page is quick with all addresses
  const fields = (operation.parameters || []).map((one) => makeField(one, number));
  const form = make("form", { novalidate: true }, ...fields.map((one) => one.label));
  let bodyField = null, fileField = null;
  const taken = operation.requestBody ? operation.requestBody.content : {};
  if (taken["application/json"]) {
    bodyField = make("textarea", { spellcheck: "false" });
    bodyField.value = JSON.stringify(sampleBody(taken["application/json"].schema, 0), null, 2);
    form.append(make("label", {}, words("body"), bodyField));
  }
  if (taken["application/msgpack"]) {
    fileField = make("input", { type: "file" });
    form.append(make("label", {}, words("file"), fileField));
  }
  if (operation.security) {
    form.append(make("p", { class: "hint" }, words(nameWay(operation.security))));
  }
  const sendButton = make("button", { class: "main", "data-text": "send" }, say("send"));
  const stopButton = make("button", { type: "button", hidden: true, "data-text": "stop" }, say("stop"));
  const result = make("div", { class: "result" });
  form.append(make("div", { class: "actions" }, sendButton, stopButton), listCodes(operation));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const request = collect(path, method, operation, fields, bodyField, fileField);
    if (request) send(request, result, sendButton, stopButton);
  });
  box.append(form, result);
}

function draw() {
  const list = byId("list"), groups = new Map();
  let number = 0;
  for (const [path, operations] of Object.entries(contract.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags[0], mine = number++;
      const what = make("span", { class: "what" }, summaryOf(operation));
      const box = make("details", { id: operation.operationId, "data-find": `${method} ${path} ${operation.summary} ${operation["x-summary-zh"] || ""}`.toLowerCase() },
        make("summary", {}, make("span", { class: method === "get" ? "method" : "method changes" }, method.toUpperCase()), " ", make("span", { class: "path" }, path), what));
      box.operation = operation;
      box.addEventListener("toggle", () => { if (box.open && !box.querySelector("form")) fill(box, path, method, operation, mine); });
      if (!groups.has(tag)) groups.set(tag, make("section", { "aria-label": tag }, make("h2", {}, tag)));
      groups.get(tag).append(box);
    }
  }
  list.replaceChildren(make("p", { id: "count", class: "hint", role: "status" }), ...groups.values());
  filter();
  const asked = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (asked && asked.tagName === "DETAILS") { asked.open = true; asked.scrollIntoView(); }
}

function filter() {
  const wanted = byId("find").value.trim().toLowerCase();
  let count = 0;
  for (const section of document.querySelectorAll("main section")) {
    let any = false;
    for (const box of section.querySelectorAll("details")) {
      box.hidden = !box.dataset.find.includes(wanted);
      any = any || !box.hidden;
      count += box.hidden ? 0 : 1;
    }
    section.hidden = !any;
  }
  byId("count").textContent = count ? `${count} ${say("found")}` : say("nothing");
}

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  const other = byId("language");
  other.textContent = language === "zh" ? "English" : "中文";
  other.lang = language === "zh" ? "en" : "zh";
  for (const one of document.querySelectorAll("[data-text]")) one.textContent = say(one.dataset.text);
  document.title = `Liushui ${say("title")}`;
  for (const box of document.querySelectorAll("details")) box.querySelector(".what").textContent = summaryOf(box.operation);
  if (contract) filter();
}

async function start() {
  byId("language").addEventListener("click", () => { language = language === "zh" ? "en" : "zh"; speak(); });
  byId("find").addEventListener("input", () => contract && filter());
  speak();
  try {
    contract = await (await fetch("/v1/openapi.json", { credentials: "omit" })).json();
    draw();
  } catch {
    byId("list").replaceChildren(make("p", { role: "alert", "data-text": "failed" }, say("failed")));
  }
}

start();
