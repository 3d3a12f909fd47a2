// Opens pages in headless Chromium, light and dark, desktop and phone; prints what axe-core and the layout say as JSON.
// Usage: node browser.mjs NODE_MODULES CHROMIUM [--shots DIR] FILE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, executablePath, ...rest] = process.argv.slice(2);
const shots = rest[0] === "--shots" ? rest.splice(0, 2)[1] : null;
const { chromium } = createRequire(join(modules, "index.js"))("playwright-core");
const axe = readFileSync(join(modules, "axe-core", "axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const found = [];
const all = [[1280, "light"], [1280, "dark"], [390, "light"], [390, "dark"]];
const looks = shots ? all : [all[0], all[3]];
for (const file of rest) {
  for (const [width, colorScheme] of looks) {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
    const page = await context.newPage();
    const requests = [];
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(file).href);
    await page.evaluate(axe);
    const result = await page.evaluate(() => axe.run());
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    const tables = await page.evaluate(() => [...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth + 1)
      .map((box) => ({ inside: box.getBoundingClientRect().right <= innerWidth, scrolls: getComputedStyle(box).overflowX, shades: getComputedStyle(box).backgroundAttachment })));
    const violations = result.violations.map((one) => ({ id: one.id, impact: one.impact, nodes: one.nodes.map((n) => n.html.slice(0, 200)) }));
    found.push({ file: basename(file), width, colorScheme, requests: requests.length, passes: result.passes.length, wide, tables, violations });
    if (shots) {
      await page.screenshot({ path: join(shots, `${basename(file, ".html")}-${width}-${colorScheme}.png`), fullPage: true });
    }
    await context.close();
  }
}
await browser.close();
console.log(JSON.stringify(found));
