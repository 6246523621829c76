// Segment's own client for Node: somebody looks around, then turns out to be u1 and buys.
const { Analytics } = require("@segment/analytics-node");

const [url, writeKey] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host: url, maxRetries: 3, flushAt: 20 });
analytics.on("error", (error) => { console.error(error); process.exitCode = 1; });
for (let n = 0; n < 50; n++) {
  analytics.track({ anonymousId: "a1", event: "Product Viewed", properties: { n } });
}
analytics.identify({ userId: "u1", anonymousId: "a1", traits: { city: "Pune" } });
analytics.page({ userId: "u1", category: "Docs", name: "Start" });
analytics.track({ userId: "u1", event: "Charged", properties: { amount: 12.5 }, timestamp: new Date("2026-03-01T12:00:00Z") });
analytics.closeAndFlush({ timeout: 30000 });
