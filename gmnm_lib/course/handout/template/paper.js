async () => {
  document.querySelectorAll("details").forEach((part) => (part.open = true));
  await document.fonts.ready;
  await Promise.all([...document.images].map((picture) => picture.decode()));

  // A printed link to a file beside this one would carry the folder in which it was printed.
  for (const link of document.querySelectorAll("a[href]"))
    if (!/^(#|https?:|mailto:)/.test(link.getAttribute("href"))) link.removeAttribute("href");

  // Answers move to the end: who works on paper should not see them under the question.
  const main = document.querySelector("main");
  const answers = document.createElement("div");
  let isQuestions = false;
  for (const part of main.querySelectorAll("h2, .prose details")) {
    if (part.matches("h2")) isQuestions = /question/i.test(part.textContent);
    if (part.matches("h2") || !isQuestions) continue;
    const summary = part.querySelector("summary");
    const number = answers.children.length + 1;
    const isNamed = !/^answer/i.test(summary.textContent.trim()); // else the question stands above it
    const question = document.createElement("div");
    question.className = isNamed ? "question" : "paper-note";
    question.innerHTML = isNamed ? summary.innerHTML : `Answer ${number} is at the end.`;
    part.before(question);
    const asked = document.createElement("p");
    asked.className = "question";
    asked.innerHTML = isNamed ? summary.innerHTML : summary.innerHTML.replace(/^answer/i, `Answer ${number}`);
    summary.remove();
    const answer = document.createElement("div");
    answer.className = "answer";
    answer.append(asked, ...part.childNodes);
    part.remove();
    answers.append(answer);
  }
  if (answers.children.length) {
    const heading = Object.assign(document.createElement("h2"), { textContent: "Answers", id: "answers" });
    answers.className = "prose answers";
    answers.prepend(heading);
    main.append(answers);
  }

  // What is wider than the paper shrinks.
  for (const part of document.querySelectorAll(".equation, .table, .output")) {
    const wide = Math.max(part.scrollWidth, ...[...part.children].map((child) => child.scrollWidth));
    const share = part.clientWidth / wide;
    if (share < 1) part.style.fontSize = `${Math.floor(98 * share)}%`;
  }
  // What a graphics card drew does not print: a picture of it does.
  for (const plot of document.querySelectorAll(".plot")) {
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    const picture = Object.assign(new Image(width), { src: await Plotly.toImage(plot, { format: "png", width, height, scale: 2 }) });
    await picture.decode();
    plot.replaceChildren(picture);
  }
}
