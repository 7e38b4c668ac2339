package schema

// commands are the specs by name. It never changes.
var commands = merge(readCommands(), writeCommands(), catalogCommands(), indexCommands(), sessionCommands(), adminCommands(), statsCommands(), planningCommands(), housekeepingCommands(), shardingCommands())

func merge(families ...map[string]*spec) map[string]*spec {
	all := map[string]*spec{}
	for _, family := range families {
		for name, s := range family {
			all[name] = s
		}
	}
	return all
}

// cursorOptions is the cursor argument of commands whose answer is a cursor.
var cursorOptions = structure(fields{"batchSize": count})

// collation is how strings are compared.
var collation = structure(fields{
	"locale": text.required(), "caseLevel": boolean, "caseFirst": oneOf("upper", "lower", "off"), "strength": number.upTo(5),
	"numericOrdering": boolean, "alternate": oneOf("non-ignorable", "shifted"), "maxVariable": oneOf("punct", "space"),
	"normalization": boolean, "backwards": boolean, "version": text,
})
