// A schedule to take along: as a file, in diffusers' terms, and to the other tabs.

const sayOfExport = statusLine(".pg-export-note");
let codeAsked = 0;
let code = null;
function chosenCard() {
  const cards = goodCards();
  return cards.find((card) => String(card.id) === find(".pg-which").value) || cards[0];
}

async function refreshCode() {
  const mine = ++codeAsked;
  const card = chosenCard();
  if (!card) return;
  const answer = await question("read_code", { config: card.curves.meta.config, sampling: S.sampling });
  if (mine !== codeAsked) return;
  sayOfExport(answer.wrong ? `${answer.wrong} Shown: the last that could be.` : answer.notes.join(" "), answer.wrong);
  if (answer.wrong) return;
  code = answer;
  setText(".pg-snippet code", answer.snippet);
}
find(".pg-which").addEventListener("change", refreshCode);

async function saveCurves(kind) {
  const configs = goodCards().map((card) => card.curves.meta.config);
  const answer = await question("read_files", { configs, kind });
  if (answer.wrong) {
    sayOfExport(answer.wrong, true);
    return;
  }
  const type = kind === "csv" ? "text/csv" : "application/json";
  download(new Blob([answer.text], { type }), `schedules.${kind}`);
}

const exportActions = {
  curves_csv: () => saveCurves("csv"),
  curves_json: () => saveCurves("json"),
  config_json() {
    if (!code) return;
    const text = `${JSON.stringify(code.json, null, 2)}\n`;
    download(new Blob([text], { type: "application/json" }), "scheduler_config.json");
  },
  async copy() {
    const button = find("[data-do=copy]");
    try {
      await navigator.clipboard.writeText(find(".pg-snippet code").textContent);
      button.textContent = "Copied";
    } catch {
      // there is no clipboard without https
      getSelection().selectAllChildren(find(".pg-snippet code"));
      button.textContent = "Selected: Ctrl+C";
    }
    setTimeout(() => {
      button.textContent = "Copy";
    }, 1500);
  },
};

// A button for each of the tabs that take a schedule.
function fillUses() {
  find(".pg-use").replaceChildren(
    ...Object.entries(props.takers).map(([name, title]) => {
      const button = make("button", { type: "button", textContent: `Use it in ${title}` });
      button.dataset.take = name;
      button.addEventListener("click", () => {
        const card = chosenCard();
        if (!card) return;
        S.leaving = true;
        trigger("use", { where: name, config: card.curves.meta.config, sampling: S.sampling });
      });
      return button;
    }),
  );
}
