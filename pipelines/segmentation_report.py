def write_report(table):
    pass
