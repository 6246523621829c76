// CleverTap's own client: uploads the records on standard input, prints the answer.
const CleverTap = require("clevertap");

const [url, account, passcode] = process.argv.slice(2);
const clevertap = CleverTap.init(account, passcode, CleverTap.REGIONS.EUROPE);
clevertap.api.apiEndpoint = `${url}/1`;
const records = JSON.parse(require("fs").readFileSync(0, "utf8"));
clevertap.upload(records, { batchSize: 50 }).then((answer) => console.log(JSON.stringify(answer)));
